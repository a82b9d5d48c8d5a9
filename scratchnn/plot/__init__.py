"""Pictures: images, latent codes, curves and computation graphs.

The only place that imports matplotlib. Every function returns a Figure, which a
notebook shows and `save` writes; nothing here opens a window or touches pyplot.
Curves differ in line style and digits in shape as well as in colour, so that they can
be told apart in grey, and text is large enough for a telephone.
"""

from .against import against
from .animate import animate
from .arrays import arrays
from .attention import attention, attention_spread, entropy
from .autoencoder import holes
from .check import gradcheck
from .classifier import confusion, guesses
from .clouds import cloud_costs, posteriors, rate_distortion
from .computation import graph
from .course import OUTCOMES, as_svg, scores, tasks
from .curves import curves, profile, smooth
from .density import density, dimensions, places, rows
from .derivatives import cost_of_slopes, derivatives, fitted
from .differences import (
    cotangents,
    falling,
    kink,
    row_sums,
    signatures,
    step_sizes,
)
from .diffusion import (
    diffusion_chain,
    noise_arrows,
    picture_rows,
    quality_against_steps,
)
from .gan import (
    answers,
    best_discriminator,
    early_win,
    games,
    generator_slopes,
    heat,
    modes,
)
from .images import images, latent_map, mosaic, reconstructions, traversal
from .latent_diffusion import codes
from .lookup import look_ups, readings, weight_sums
from .network import embedding, network, spring
from .rl import marks, policies, reward_against_kl
from .samples import samples
from .slices import slice_codes, slices
from .style import COLOURS, GREY, INK, PALE, STYLE, new_figure, save, styled
from .tape import tape
from .text_to_image import captioned, word_maps
from .vae import completeness, continuity

__all__ = [
    "COLOURS",
    "GREY",
    "INK",
    "OUTCOMES",
    "PALE",
    "STYLE",
    "against",
    "animate",
    "answers",
    "arrays",
    "as_svg",
    "attention",
    "attention_spread",
    "best_discriminator",
    "captioned",
    "cloud_costs",
    "codes",
    "completeness",
    "confusion",
    "continuity",
    "cost_of_slopes",
    "cotangents",
    "curves",
    "density",
    "derivatives",
    "diffusion_chain",
    "dimensions",
    "early_win",
    "embedding",
    "entropy",
    "falling",
    "fitted",
    "games",
    "generator_slopes",
    "gradcheck",
    "graph",
    "guesses",
    "heat",
    "holes",
    "images",
    "kink",
    "latent_map",
    "look_ups",
    "marks",
    "modes",
    "mosaic",
    "network",
    "new_figure",
    "noise_arrows",
    "picture_rows",
    "places",
    "policies",
    "posteriors",
    "profile",
    "quality_against_steps",
    "rate_distortion",
    "readings",
    "reconstructions",
    "reward_against_kl",
    "row_sums",
    "rows",
    "samples",
    "save",
    "scores",
    "signatures",
    "slice_codes",
    "slices",
    "smooth",
    "spring",
    "step_sizes",
    "styled",
    "tape",
    "tasks",
    "traversal",
    "weight_sums",
    "word_maps",
]
