"""Data sets as NumPy arrays, and batches of them.

>>> from scratchnn import data
>>> train = data.digits("train")
>>> for x, y in data.DataLoader(train, batch_size=32, shuffle=True):
...     pass  # x (32, 8, 8), y (32,)
"""

from ..errors import missing_name
from .captions import Captioned, Scene, captions, scenes
from .graphs import Graph, together
from .idx import read_idx
from .images import FASHION_CLASSES, fashion_mnist, mnist
from .included import digits, karate_club
from .loader import DataLoader, Subset, TensorDataset, random_split
from .planetoid import citeseer, cora, pubmed
from .random_graphs import grid_graph, molecules, ring_graph, stochastic_block_model
from .records import Labelled
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
from .tu import enzymes, mutag, proteins

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
    "citeseer",
    "copying",
    "cora",
    "dates",
    "digits",
    "enzymes",
    "fashion_mnist",
    "grid",
    "grid_centres",
    "grid_graph",
    "karate_club",
    "load",
    "mnist",
    "molecules",
    "moons",
    "multi30k",
    "mutag",
    "names",
    "pack",
    "pad",
    "proteins",
    "pubmed",
    "python",
    "random_split",
    "read_idx",
    "reversing",
    "ring",
    "ring_centres",
    "ring_graph",
    "scenes",
    "shakespeare",
    "spirals",
    "stochastic_block_model",
    "swiss_roll",
    "text",
    "together",
    "tokenizer",
]

__getattr__ = missing_name(__name__)
