"""Neural networks: Module, layers, functional, init, with PyTorch's names."""

from ..errors import missing_name
from . import functional, init, positions
from .attention import (
    MultiheadAttention,
    RMSNorm,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from .layers import (
    ELU,
    GELU,
    MLP,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ModuleList,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    Unflatten,
    Upsample,
)
from .module import Module, parameters
from .recurrent import GRU, LSTM, RNN
from .spectral import SpectralNorm

_typo = missing_name(__name__)


def __getattr__(name):
    if name.endswith("Loss"):
        raise AttributeError(
            f"scratchnn.nn has no {name!r}: losses are functions here, such as "
            "nn.functional.cross_entropy",
            name=name,
        )
    return _typo(name)
