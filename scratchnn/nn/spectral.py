"""Spectral normalisation: a layer that can't stretch any vector."""

import numpy as np

from .. import ops
from ..device import beside
from ..random import default_rng
from .layers import ConvTranspose2d
from .module import Module


class SpectralNorm(Module):
    """A layer with W / sigma(W) for its weight W, sigma the largest singular value.

    layer: Linear or Conv2d, whose W is the matrix (out, in kh kw), or ConvTranspose2d.
    A network of such layers and of activations with slopes up to 1 has bounded slopes.
    (The largest singular value of a convolution itself is another number.)

    sigma = u^T W v, after a step of v <- W^T u / ||W^T u||, u <- W v / ||W v|| in each
    forward pass of training; u is kept, and begins with `warm_up` steps. In derivatives
    u and v are constants. Miyato et al., "Spectral Normalization for GANs", ICLR 2018,
    arXiv:1802.05957, eq. (8) and (9), algorithm 1.
    """

    def __init__(self, layer, steps=1, warm_up=15, rng=None):
        if "weight" not in vars(layer):
            raise ValueError(
                f"SpectralNorm: {type(layer).__name__} has no weight; give it a Linear "
                "or a convolution"
            )
        self.layer, self.steps = layer, steps
        W = self._matrix(layer.weight.data)
        u = beside(default_rng(rng).standard_normal(len(W)).astype(W.dtype), W)
        self.u, _ = _power_iteration(W, _unit(u), warm_up)

    def forward(self, x):
        layer, weight = self.layer, self.layer.weight
        W = self._matrix(weight)  # (out, in kh kw)
        u, v = _power_iteration(W.data, self.u, self.steps if self.training else 1)
        if self.training:
            self.u = u
        sigma = (u * (W @ v)).sum()
        layer.weight = weight / sigma  # for this pass only: W is what is trained
        try:
            return layer(x)
        finally:
            layer.weight = weight

    def _matrix(self, weight):
        if isinstance(self.layer, ConvTranspose2d):  # (in, out, kh, kw)
            weight = ops.swapaxes(weight, 0, 1)
        return ops.reshape(weight, (len(weight), -1))


def _power_iteration(W, u, steps):
    """u and v of the largest singular value of W, nearer with every step."""
    for _ in range(steps):
        v = _unit(W.T @ u)
        u = _unit(W @ v)
    return u, v


def _unit(x, eps=1e-12):
    return x / (np.linalg.norm(x) + eps)
