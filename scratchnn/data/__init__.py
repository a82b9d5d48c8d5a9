"""Data sets as NumPy arrays, and batches of them.

>>> from scratchnn import data
>>> train = data.digits("train")
>>> for x, y in data.DataLoader(train, batch_size=32, shuffle=True):
...     pass  # x (32, 8, 8), y (32,)
"""

from ..errors import missing_name
from .captions import Captioned, Scene, captions, scenes
from .idx import read_idx
from .images import FASHION_CLASSES, fashion_mnist, mnist
from .included import digits, karate_club
from .loader import DataLoader, Subset, TensorDataset, random_split
from .records import Graph, Labelled
from .registry import DATASETS, DataSet, available, load
from .tasks import addition, copying, dates, reversing
from .text import Windows, multi30k, names, python, shakespeare, text
from .tokenize import BPETokenizer, CharTokenizer, WordTokenizer, pack, pad, tokenizer
from .toy import (
    checkerboard,
    circles,
    grid,
    grid_centres,
    moons,
    ring,
    ring_centres,
    spirals,
    swiss_roll,
)

__all__ = [
    "BPETokenizer",
    "Captioned",
    "CharTokenizer",
    "DATASETS",
    "DataLoader",
    "DataSet",
    "FASHION_CLASSES",
    "Graph",
    "Labelled",
    "Scene",
    "Subset",
    "TensorDataset",
    "Windows",
    "WordTokenizer",
    "addition",
    "available",
    "captions",
    "checkerboard",
    "circles",
    "copying",
    "dates",
    "digits",
    "fashion_mnist",
    "grid",
    "grid_centres",
    "karate_club",
    "load",
    "mnist",
    "moons",
    "multi30k",
    "names",
    "pack",
    "pad",
    "python",
    "random_split",
    "read_idx",
    "reversing",
    "ring",
    "ring_centres",
    "scenes",
    "shakespeare",
    "spirals",
    "swiss_roll",
    "text",
    "tokenizer",
]

__getattr__ = missing_name(__name__)
