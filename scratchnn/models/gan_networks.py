"""Pairs of networks for gan.py: of linear layers, and of convolutions (DCGAN).

Each function returns a GAN, ready to train. Pictures are in [-1, 1], where the last
tanh of G lies; points are as they are.
"""

from .. import nn
from ..nn import init
from .gan import GAN


def mlp(
    x_dim=2, z_dim=2, hidden=(128, 128), bounded=False, classes=0, pack=1,
    spectral=False, rng=None,
):  # fmt: skip
    """G and D of linear layers: x (N, x_dim), z (N, z_dim).

    hidden: the widths of both networks' layers; ReLU in G, leaky ReLU in D. bounded: G
    ends in tanh, for pictures. spectral: D's layers in `nn.SpectralNorm`.
    """
    last = [nn.Tanh()] if bounded else []
    G = nn.Sequential(*nn.MLP([z_dim + classes, *hidden, x_dim], rng=rng), *last)
    D = nn.MLP([pack * (x_dim + classes), *hidden, 1], _leaky, rng=rng)
    return GAN(G, _normalised(D, spectral, rng), z_dim, classes, pack)


def dcgan(
    side=28, z_dim=100, channels=64, colours=1, classes=0, pack=1, norm="batch",
    hidden=256, rng=None,
):  # fmt: skip
    """DCGAN: G enlarges twice, D shrinks twice, by 4x4 kernels of stride 2.

    x (N, colours, side, side) in [-1, 1], side a multiple of 4; z (N, z_dim). There are
    `channels` maps at side / 2, twice as many at side / 4. norm, within D: "batch";
    "spectral" for `nn.SpectralNorm`; or "none", which a gradient penalty needs.

    Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep
    Convolutional GANs", ICLR 2016, arXiv:1511.06434: strides in place of pooling, batch
    norm but for G's last and D's first layer, ReLU in G and leaky ReLU in D, weights
    N(0, 0.02^2), and for Adam lr 2e-4 and betas (0.5, 0.999).

    A linear layer of width `hidden` is G's first and D's last but one, as in InfoGAN
    (Chen et al., arXiv:1606.03657, table 1). Two stages see patches of 10 x 10 only:
    without it D lets pass right strokes in wrong places.
    """
    if side < 4 or side % 4:
        raise ValueError(f"side is {side}, expected a multiple of 4, such as 8 or 28")
    if norm not in ("batch", "spectral", "none"):
        raise ValueError(f"norm is {norm!r}, expected 'batch', 'spectral' or 'none'")
    small, wide = side // 4, 2 * channels
    how = dict(kernel_size=4, stride=2, padding=1, rng=rng)
    G = nn.Sequential(
        nn.Linear(z_dim + classes, hidden, bias=False, rng=rng),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, wide * small * small, bias=False, rng=rng),
        nn.Unflatten(1, (wide, small, small)),  # side / 4
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.ConvTranspose2d(wide, channels, bias=False, **how),  # side / 2
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, colours, **how),  # side
        nn.Tanh(),
    )
    is_normal = norm == "batch"
    D = nn.Sequential(
        nn.Conv2d(pack * (colours + classes), channels, **how),  # side / 2
        _leaky(),
        nn.Conv2d(channels, wide, **how),  # side / 4
        nn.BatchNorm2d(wide) if is_normal else nn.Identity(),
        _leaky(),
        nn.Flatten(),
        nn.Linear(wide * small * small, hidden, rng=rng),
        nn.BatchNorm1d(hidden) if is_normal else nn.Identity(),
        _leaky(),
        nn.Linear(hidden, 1, rng=rng),
    )
    for network in (G, D):
        _as_radford(network, rng)
    return GAN(G, _normalised(D, norm == "spectral", rng), z_dim, classes, pack)


def _leaky():
    return nn.LeakyReLU(0.2)


def _as_radford(network, rng):
    """Weights N(0, 0.02^2), those of batch norm N(1, 0.02^2); biases 0."""
    for layer in network:
        if "weight" not in vars(layer):
            continue
        is_norm = isinstance(layer, nn.BatchNorm1d)  # BatchNorm2d is one
        init.normal_(layer.weight, 1.0 if is_norm else 0.0, 0.02, rng)
        if layer.bias is not None:
            init.zeros_(layer.bias)


def _normalised(D, spectral, rng):
    """D with its layers that have a weight in SpectralNorm, if asked for."""
    if not spectral:
        return D
    return nn.Sequential(
        *(nn.SpectralNorm(m, rng=rng) if "weight" in vars(m) else m for m in D)
    )
