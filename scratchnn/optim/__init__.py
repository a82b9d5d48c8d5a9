"""Optimizers, clipping, averaged weights, schedules, with PyTorch's names."""

from ..errors import missing_name
from .optimizers import (
    EMA,
    SGD,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_grad_norm_,
    clip_grad_value_,
)
from .schedules import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    Schedule,
    StepLR,
)

__getattr__ = missing_name(__name__)
