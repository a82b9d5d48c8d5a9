"""Latent diffusion: a VAE makes codes of pictures, a diffusion model makes new codes.

A VAE pays for filling a standard normal cloud with blurred pictures, and a cloud that
it fills badly has holes. Here it need not fill one: it describes pictures well, and
a diffusion model learns afterwards where their codes lie. A code is short, so both its
training and its sampling are quick.

Rombach, Blattmann, Lorenz, Esser and Ommer, "High-Resolution Image Synthesis with
Latent Diffusion Models", CVPR 2022, arXiv:2112.10752; the numbers of equations are
theirs.
"""

import numpy as np

from .. import nn, ops
from ..random import default_rng
from ..recording import no_grad
from . import diffusion, vae


class LatentDiffusion(nn.Module):
    """p(x) = the decoder of a VAE, given a code whose p(z) is a diffusion model's.

    vae: a vae.VAE with codes (N, z_dim). diffusion: a diffusion.Diffusion of the shape
    (z_dim,). Between them a code is moved and scaled to mean 0 and deviation 1, each
    number for itself, since the schedule is made for such data: z = (code - mean) /
    deviation. `standardise` finds both; appendix G of the paper has one scale for all.
    """

    def __init__(self, vae, diffusion):
        if diffusion.shape != (vae.z_dim,):
            raise ValueError(
                f"the diffusion model has shape {diffusion.shape}, expected "
                f"({vae.z_dim},), that of the VAE's codes"
            )
        self.vae, self.diffusion = vae, diffusion
        self.mean = np.zeros(vae.z_dim, np.float32)
        self.deviation = np.ones(vae.z_dim, np.float32)
        self.vae_steps = np.array(0)  # how long the first stage has been

    @no_grad()
    def encode(self, x, rng=None):
        """z_0, codes drawn from q(z|x), standardised: (N, x_dim) -> (N, z_dim)."""
        code = vae.reparametrise(*self.vae.encode(x), rng).data
        return (code - self.mean) / self.deviation

    @no_grad()
    def decode(self, z_0):
        """The pictures of standardised codes, as an array: (N, z_dim) -> (N, x_dim)."""
        return self.vae.decode(self.mean + self.deviation * z_0).data


# ---- training, in two stages ----------------------------------------------------
def train_vae(model, batches, optimizer, beta=1.0, rng=None):
    """The first stage, as a generator: one vae.Loss for each minibatch x (N, x_dim).

    A beta below 1 gives sharper pictures, and codes that are less normal: the second
    stage does not mind.
    """
    for loss in vae.train(model.vae, batches, optimizer, beta, rng):
        model.vae_steps += 1
        yield loss


@no_grad()
def standardise(model, x):
    """Between the stages: the mean and deviation of all codes of pictures x (N, x_dim).

    A code is mu + sigma eps, so its variance is that of mu and the mean of sigma^2.
    """
    mu, logvar = model.vae.encode(x)
    model.mean = mu.mean(axis=0).data
    model.deviation = ops.sqrt(ops.var(mu, axis=0) + ops.exp(logvar).mean(axis=0)).data


def train(model, batches, optimizer, ema=None, p_uncond=0.1, rng=None):
    """The second stage, as a generator: one diffusion.Loss for each minibatch (x, y).

    L = E_{z = E(x), eps, t} ||eps - eps_theta(z_t, t, y)||^2   (3): what any diffusion
    model minimises, on codes. The VAE stays as it is. x (N, x_dim); y (N,) is not used
    if the network takes no labels.
    """
    rng = default_rng(rng)
    codes = ((model.encode(x, rng), y) for x, y in batches)
    yield from diffusion.train(model.diffusion, codes, optimizer, ema, p_uncond, rng)


# ---- sampling -------------------------------------------------------------------
def sample(model, n, steps=None, eta=0.0, rng=None, **how):
    """n new pictures, an array (n, x_dim): a code by diffusion.sample, then decoded."""
    z_0 = diffusion.sample(model.diffusion, n, steps, eta, rng=rng, **how)
    return model.decode(z_0)


def sample_prior(model, n, rng=None):
    """n pictures of codes from N(0, I), as the VAE alone would draw: (n, x_dim)."""
    return vae.sample(model.vae, n, rng).data
