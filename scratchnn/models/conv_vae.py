"""Convolutional networks for the VAE: pixels that are neighbours are treated so.

    vae.VAE(28 * 28, (256,), 32, networks=conv_vae.networks((28, 28), (32, 32)))

Each layer of the encoder halves height and width and each of the decoder doubles them,
by strides and with no pooling, as in Radford, Metz, Chintala (DCGAN), arXiv:1511.06434.
All layers but those that give mu, logvar and x_hat are normalised over the batch, which
leaves more of the code in use (Sonderby et al., "Ladder Variational Autoencoders",
arXiv:1602.02282). So call `model.eval()` before the model is used, and `model.train()`
before it learns on: in training a picture's code depends on its batch.
"""

import functools

from .. import nn, ops


def networks(shape=(28, 28), channels=(32, 32)):
    """Encoder and decoder for pictures of a shape (H, W): VAE's argument `networks`.

    channels: of the layers with stride 2, from the picture inwards; H and W must be
    divisible by 2 as often. Between the smallest picture and the code lie the Linear
    layers `hidden` of the VAE.
    """
    halved = 2 ** len(channels)
    if any(side % halved for side in shape):
        raise ValueError(
            f"{len(channels)} layers halve a picture {len(channels)} times: channels="
            f"{list(channels)} needs sides divisible by {halved}, the picture is "
            f"{shape[0]}x{shape[1]}; name fewer channels"
        )
    small = (channels[-1], *(side // halved for side in shape))
    return (
        functools.partial(Encoder, tuple(shape), channels, small),
        functools.partial(_decoder, channels, small),
    )


class Encoder(nn.Module):
    """Rows of pixels (N, x_dim + classes) -> (N, hidden[-1]).

    The label's columns, if any, join the features where these become a row.
    """

    def __init__(self, shape, channels, small, x_dim, classes, hidden, rng=None):
        self.shape, self.x_dim = shape, x_dim
        self.convolutions = nn.Sequential()
        for n, m in zip((1, *channels), channels):
            halving = nn.Conv2d(n, m, 4, stride=2, padding=1, rng=rng)
            self.convolutions.extend([halving, nn.BatchNorm2d(m), nn.ReLU()])
        features = small[0] * small[1] * small[2]
        self.linear = nn.Sequential(*_linear([features + classes, *hidden], rng))

    def forward(self, x):
        pictures = x[:, : self.x_dim].reshape(len(x), 1, *self.shape)
        h = self.convolutions(pictures).reshape(len(x), -1)
        if x.shape[1] > self.x_dim:
            h = ops.concatenate([h, x[:, self.x_dim :]], axis=1)
        return self.linear(h)


def _decoder(channels, small, z_dim, classes, hidden, x_dim, rng=None):
    """The encoder mirrored, and its last layer: (N, z_dim + classes) -> (N, x_dim)."""
    features = small[0] * small[1] * small[2]
    widths = [z_dim + classes, *reversed(hidden), features]
    layers = [*_linear(widths, rng), nn.Unflatten(1, small)]
    for n, m in zip(channels[::-1], channels[-2::-1]):
        layers += [_doubling(n, m, rng), nn.BatchNorm2d(m), nn.ReLU()]
    last = nn.Sequential(_doubling(channels[0], 1, rng), nn.Flatten())
    return nn.Sequential(*layers), last


def _linear(widths, rng):
    """Linear, normalised, ReLU: in turn from the first width to the last."""
    layers = []
    for n, m in zip(widths, widths[1:]):
        layers += [nn.Linear(n, m, rng=rng), nn.BatchNorm1d(m), nn.ReLU()]
    return layers


def _doubling(n, m, rng):
    return nn.ConvTranspose2d(n, m, 4, stride=2, padding=1, rng=rng)
