"""Assignment 3: the variational auto-encoder.

You write what makes an auto-encoder variational: the noise on its codes, the price of
a code, the price of a picture, and their sum. mu and logvar (N, z) are what the encoder
says of N pictures: code k of picture i is drawn from a normal distribution of mean
mu[i, k] and variance exp(logvar[i, k]). The decoder's logits (N, D) say with which
probability each of D pixels is ink: sigmoid(logits).

NumPy is all you need. Check your work with `scratchnn check`.
"""

import numpy as np

### BEGIN TESTS
from scratchnn.course import task

### END TESTS


# ---- 3.1 ------------------------------------------------------------------------
def sample_z(mu, logvar, eps):
    """Codes drawn from N(mu, exp(logvar)): z = mu + deviation * eps.

    eps is standard normal noise, drawn by the caller. A deviation is the root of a
    variance.

    mu, logvar, eps: (N, z) -> (N, z).
    """
    ### BEGIN SOLUTION
    return mu + np.exp(logvar / 2) * eps
    ### END SOLUTION


### BEGIN TESTS
SAMPLE = task(
    "3.1", "sample_z", points=2,
    hint="exp(logvar) is the variance; its root is exp of half of logvar",
)  # fmt: skip


@SAMPLE.value
def _(rng, N=5, z=3):
    """equals mean + deviation * noise"""
    return tuple(rng.normal(size=(N, z)) for _ in range(3))


@SAMPLE.gradient(
    backward=lambda g, mu, eps: (g, g),
    call=lambda sample_z, mu, eps: sample_z(mu, np.zeros_like(mu), eps),
)
def _(rng, N=5, z=3):
    """at logvar = 0 the slopes by mean and noise are 1"""
    return rng.normal(size=(N, z)), rng.normal(size=(N, z))


@SAMPLE.invariant
def _(sample_z, rng):
    """(z - mu)^2 has the mean exp(logvar)"""
    eps = rng.normal(size=(20_000, 2))
    mu, logvar = np.array([3.0, -1.0]), np.array([2.0, -2.0])
    spread = sample_z(mu + 0 * eps, logvar + 0 * eps, eps) - mu
    a, b = (spread**2).mean(axis=0)
    close = abs(a / np.exp(2) - 1) < 0.1 and abs(b / np.exp(-2) - 1) < 0.1
    assert close, f"for logvar 2, -2 the variances are {a:.3g}, {b:.3g} for 7.39, 0.135"


### END TESTS
### BEGIN HIDDEN TESTS
@SAMPLE.value
def _(rng, N=7, z=2):
    """for deviations from a hundredth to a hundred"""
    shape = N, z
    return rng.normal(size=shape), rng.uniform(-9, 9, shape), rng.normal(size=shape)


@SAMPLE.gradient(
    backward=lambda g, mu, logvar, eps: (
        g, g * eps * np.sqrt(np.exp(logvar)) * 0.5, g * np.sqrt(np.exp(logvar))
    ),
)  # fmt: skip
def _(rng, N=5, z=3):
    """its slopes by mean, log-variance and noise"""
    return tuple(rng.normal(size=(N, z)) for _ in range(3))


@SAMPLE.invariant
def _(sample_z, rng):
    """the same noise gives the same codes, other noise gives others"""
    mu, logvar, eps = (rng.normal(size=(5, 3)) for _ in range(3))
    one, two = sample_z(mu, logvar, eps), sample_z(mu, logvar, eps)
    assert np.array_equal(one, two), "two equal calls differ: use eps, draw nothing"
    other = sample_z(mu, logvar, -eps)
    assert not np.allclose(one, other), "other noise, same codes: where is eps?"


SAMPLE.mistake(
    "M132", "exp(logvar) is the variance; the deviation is its root, exp(logvar / 2)",
    lambda mu, logvar, eps: mu + np.exp(logvar) * eps,
)  # fmt: skip
SAMPLE.mistake(
    "M131", "logvar is the log of a variance, not a deviation and not its square",
    lambda mu, logvar, eps: mu + logvar * eps,
    lambda mu, logvar, eps: mu + np.exp(2 * logvar) * eps,
    lambda mu, logvar, eps: mu + np.exp(logvar) ** 2 * eps,
    lambda mu, logvar, eps: mu + np.sqrt(logvar) * eps,
    lambda mu, logvar, eps: mu + np.sqrt(np.abs(logvar)) * eps,
    lambda mu, logvar, eps: mu + 0.5 * np.exp(logvar) * eps,
    lambda mu, logvar, eps: mu + logvar / 2 * eps,
)  # fmt: skip
SAMPLE.mistake(
    "M139", "the noise is what makes the space smooth: mu alone is an auto-encoder",
    lambda mu, logvar, eps: mu,
    lambda mu, logvar, eps: mu + np.exp(logvar / 2),
)  # fmt: skip
SAMPLE.mistake(
    "M135", "one noise for each picture and each number of its code, not one for all",
    lambda mu, logvar, eps: mu + np.exp(logvar / 2) * eps[:1],
    lambda mu, logvar, eps: mu + np.exp(logvar / 2) * eps[:, :1],
    lambda mu, logvar, eps: mu + np.exp(logvar / 2) * eps[-1:],
    lambda mu, logvar, eps: mu + np.exp(logvar / 2) * eps.mean(0),
    lambda mu, logvar, eps: mu + np.exp(logvar / 2) * eps.flat[0],
)  # fmt: skip
SAMPLE.mistake(
    "M137", "a deviation is above 0: exp(logvar / 2); relu gives 0, softplus another",
    lambda mu, logvar, eps: mu + np.maximum(logvar, 0) * eps,
    lambda mu, logvar, eps: mu + np.sqrt(np.maximum(logvar, 0)) * eps,
    lambda mu, logvar, eps: mu + np.log1p(np.exp(logvar)) * eps,
    lambda mu, logvar, eps: mu + np.abs(logvar) * eps,
)  # fmt: skip
SAMPLE.mistake(
    "sign", "exp(-logvar / 2) is one over the deviation",
    lambda mu, logvar, eps: mu + np.exp(-logvar / 2) * eps,
    lambda mu, logvar, eps: mu + eps / np.exp(logvar / 2),
)  # fmt: skip
SAMPLE.mistake(
    "minus", "the noise is added: mu + deviation * eps",
    lambda mu, logvar, eps: mu - np.exp(logvar / 2) * eps,
)  # fmt: skip
SAMPLE.mistake(
    "product", "the noise is scaled by the deviation only, then mu is added",
    lambda mu, logvar, eps: (mu + np.exp(logvar / 2)) * eps,
    lambda mu, logvar, eps: np.exp(logvar / 2) * eps,
    lambda mu, logvar, eps: np.exp(logvar / 2) * (mu + eps),
    lambda mu, logvar, eps: mu * np.exp(logvar / 2) * eps,
    lambda mu, logvar, eps: mu * np.exp(logvar / 2) + eps,
    lambda mu, logvar, eps: mu + np.exp(logvar / 2) + eps,
    lambda mu, logvar, eps: mu + eps,
)  # fmt: skip


### END HIDDEN TESTS
# ---- 3.2 ------------------------------------------------------------------------
def kl(mu, logvar):
    """KL(N(mu, exp(logvar)) || N(0, 1)) of each picture's code, in nats.

    1/2 sum_k (mu_k^2 + variance_k - 1 - log variance_k), summed over the code.

    mu, logvar: (N, z) -> (N,).
    """
    ### BEGIN SOLUTION
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
    ### END SOLUTION


### BEGIN TESTS
KL = task(
    "3.2", "kl", points=3,
    hint="one number for each picture: sum over the code, axis 1",
)  # fmt: skip


@KL.value
def _(rng, N=5, z=3):
    """equals the closed form"""
    return rng.normal(size=(N, z)), rng.normal(size=(N, z))


@KL.gradient(
    backward=lambda g, mu, logvar: (g[:, None] * mu, g[:, None] * np.expm1(logvar) / 2)
)
def _(rng, N=5, z=3):
    """its slopes: mu, and (variance - 1) / 2"""
    return rng.normal(size=(N, z)), rng.normal(size=(N, z))


@KL.invariant
def _(kl, rng):
    """0 at mu = 0, logvar = 0, and nowhere below"""
    zero = kl(np.zeros((2, 3)), np.zeros((2, 3)))
    assert np.allclose(zero, 0), f"{zero} for N(0, 1) itself: no distance, so 0"
    least = np.min(kl(2 * rng.normal(size=(999, 3)), 2 * rng.normal(size=(999, 3))))
    assert least >= 0, f"{least:.3g} for some code: a distance is never below 0"


### END TESTS
### BEGIN HIDDEN TESTS
@KL.value
def _(rng, N=7, z=2):
    """for codes far out and deviations far from 1"""
    return 9 * rng.normal(size=(N, z)), rng.uniform(-9, 9, (N, z))


@KL.invariant
def _(kl, rng):
    """equals the mean of log q(z) - log p(z) over q, by Gauss and Hermite"""
    mu, logvar = rng.normal(size=(1, 1)), rng.normal(size=(1, 1))
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    z = mu[0] + np.exp(logvar[0] / 2) * nodes
    log_q_p = -0.5 * (nodes**2 + logvar[0]) + 0.5 * z**2
    right = (weights * log_q_p).sum() / weights.sum()
    assert np.allclose(kl(mu, logvar), right), "it is not the mean of log q - log p"


@KL.invariant
def _(kl, rng):
    """numbers of a code that are N(0, 1) cost nothing"""
    mu, logvar = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    longer = [np.concatenate([x, np.zeros((5, 4))], axis=1) for x in (mu, logvar)]
    same = np.allclose(kl(mu, logvar), kl(*longer))
    assert same, "numbers of the code at mu = logvar = 0 change it: sum, not mean"


ONE_MEANING = "logvar is the log of a variance, s^2: keep that one meaning in all terms"
KL.mistake(
    "M129", "the sign: a distance is never negative",
    lambda mu, logvar: -kl(mu, logvar),
)  # fmt: skip
KL.mistake(
    "M131", ONE_MEANING,
    lambda mu, logvar: -0.5 * (1 + 2 * logvar - mu**2 - np.exp(logvar)).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(2 * logvar) - 1 - logvar).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(2 * logvar) - 1 - 2 * logvar).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar / 2) - 1 - logvar).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) ** 2 - 1 - logvar).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar / 2).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + logvar - 1 - np.log(np.abs(logvar))).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + logvar**2 - 1 - np.log(logvar**2)).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) - 1 - np.exp(logvar)).sum(1),
)  # fmt: skip
KL.mistake(
    "M133", "parentheses: the log takes the deviation only",
    lambda mu, logvar: kl_in_one_log(mu, logvar),
)  # fmt: skip
KL.mistake(
    "half", "the 1/2 belongs to all four terms",
    lambda mu, logvar: 2 * kl(mu, logvar),
    lambda mu, logvar: (0.5 * mu**2 + np.exp(logvar) - 1 - logvar).sum(1),
    lambda mu, logvar: (0.5 * (mu**2 + np.exp(logvar)) - 1 - logvar).sum(1),
    lambda mu, logvar: 4 * kl(mu, logvar),
    lambda mu, logvar: kl(mu, logvar) / 2,
)  # fmt: skip
KL.mistake(
    "mean", "sum over the code: a mean makes it z times too cheap",
    lambda mu, logvar: kl(mu, logvar) / mu.shape[1],
)  # fmt: skip
KL.mistake(
    "axis", "one number for each picture: sum over the code, axis 1",
    lambda mu, logvar: terms(mu, logvar).sum(0),
    lambda mu, logvar: terms(mu, logvar).sum(),
    lambda mu, logvar: terms(mu, logvar).mean(),
    lambda mu, logvar: kl(mu, logvar).mean(),
    lambda mu, logvar: terms(mu, logvar),
    lambda mu, logvar: terms(mu, logvar).sum(1, keepdims=True),
    lambda mu, logvar: terms(mu, logvar).mean(0),
)  # fmt: skip
KL.mistake(
    "one", "the -1 makes it 0 where the code is N(0, 1): once for each number",
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) - logvar).sum(1),
    lambda mu, logvar: 0.5 * ((mu**2 + np.exp(logvar) - logvar).sum(1) - 1),
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) + 1 - logvar).sum(1),
)  # fmt: skip
KL.mistake(
    "term", "a term has the wrong sign or is missing: mu^2 + s^2 - 1 - log s^2",
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) - 1 + logvar).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 - np.exp(logvar) - 1 - logvar).sum(1),
    lambda mu, logvar: 0.5 * (-(mu**2) + np.exp(logvar) - 1 - logvar).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 - np.exp(logvar) + 1 + logvar).sum(1),
    lambda mu, logvar: 0.5 * (np.exp(logvar) - 1 - logvar).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) - 1).sum(1),
    lambda mu, logvar: 0.5 * (mu**2 - 1 - logvar).sum(1),
    lambda mu, logvar: 0.5 * (mu + np.exp(logvar) - 1 - logvar).sum(1),
)  # fmt: skip
KL.mistake(
    "turned", "KL(q || p), not KL(p || q): the mean is taken over the code's own q",
    lambda mu, logvar: 0.5 * ((1 + mu**2) / np.exp(logvar) - 1 + logvar).sum(1),
)  # fmt: skip
KL.mistake(
    "swapped", "mu comes first, then logvar",
    lambda mu, logvar: kl(logvar, mu),
)  # fmt: skip


def terms(mu, logvar):
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)


def kl_in_one_log(mu, logvar):
    s = np.exp(logvar / 2)
    return np.log(1 / s + (s * s + mu * mu) / 2 - 0.5).sum(1)


### END HIDDEN TESTS
# ---- 3.3 ------------------------------------------------------------------------
def bce_with_logits(logits, x):
    """-log p(x) of each picture, its pixels being ink with probability sigmoid(logits).

    -sum_i x_i log p_i + (1 - x_i) log(1 - p_i), p = sigmoid(logits), summed over the
    pixels. It must hold for any logits, also for -1000 and 1000, where p is 0 or 1 to
    the last digit: log(1 + exp(a)) = max(a, 0) + log(1 + exp(-|a|)).

    logits: (N, D), x: (N, D) from 0 to 1 -> (N,).
    """
    ### BEGIN SOLUTION
    a = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    return (a - x * logits).sum(axis=1)
    ### END SOLUTION


### BEGIN TESTS
BCE = task(
    "3.3", "bce_with_logits", points=4,
    hint="show on paper that a pixel costs log(1 + exp(logit)) - x * logit",
)  # fmt: skip


@BCE.value
def _(rng, N=5, D=3):
    """equals the logs of probabilities"""
    return 3 * rng.normal(size=(N, D)), rng.uniform(size=(N, D))


@BCE.value
def _(rng, N=5, D=3):
    """also for logits of a thousand"""
    return 1000 * rng.normal(size=(N, D)), rng.uniform(0.2, 0.8, (N, D))


@BCE.gradient(
    backward=lambda g, logits, x: (
        g[:, None] * (1 / (1 + np.exp(-logits)) - x), -g[:, None] * logits
    ),
)  # fmt: skip
def _(rng, N=5, D=3):
    """its slope is prediction less target"""
    return 3 * rng.normal(size=(N, D)), rng.uniform(size=(N, D))


@BCE.invariant
def _(bce_with_logits, rng):
    """a logit of 0 costs log 2, a certain and right one nothing"""
    x = rng.integers(0, 2, (5, 7)) * 1.0
    even, sure = bce_with_logits(0 * x, x), bce_with_logits(999 * (2 * x - 1), x)
    assert np.allclose(even, 7 * np.log(2)), f"7 pixels of 1/2 cost {even} for 7 log 2"
    assert np.allclose(sure, 0), f"certain and right costs {sure}, expected 0"


### END TESTS
### BEGIN HIDDEN TESTS
@BCE.value
def _(rng, N=7, D=11):
    """for other sizes, pixels of nearly 0 and 1"""
    x = np.clip(rng.normal(0.5, 1, (N, D)), 0.02, 0.98)
    return 9 * rng.normal(size=(N, D)), x


@BCE.invariant
def _(bce_with_logits, rng):
    """ink and paper change places: the same cost"""
    logits, x = 5 * rng.normal(size=(5, 3)), rng.uniform(size=(5, 3))
    same = np.allclose(bce_with_logits(logits, x), bce_with_logits(-logits, 1 - x))
    assert same, "with -logits and 1 - x the cost must be the same"


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def costs(p, x):
    return -(x * np.log(p) + (1 - x) * np.log(1 - p))


NAIVE = "for logits of some hundreds p is 0 or 1 and its log infinite: work on logits"
BCE.mistake(
    "M55", "sum over the pixels of a picture: a mean is D times less",
    lambda logits, x: bce_with_logits(logits, x) / x.shape[1],
)  # fmt: skip
BCE.mistake(
    "M57", NAIVE,
    lambda logits, x: costs(sigmoid(logits), x).sum(1),
    lambda logits, x: (np.log(1 + np.exp(logits)) - x * logits).sum(1),
    lambda logits, x: (np.log1p(np.exp(logits)) - x * logits).sum(1),
    lambda logits, x: (np.log1p(np.exp(-logits)) + (1 - x) * logits).sum(1),
    lambda logits, x: (np.log(1 + np.exp(-logits)) + (1 - x) * logits).sum(1),
    lambda logits, x: np.nansum(costs(sigmoid(logits), x), 1),
    lambda logits, x: np.nan_to_num(costs(sigmoid(logits), x)).sum(1),
    lambda logits, x: -(
        x * np.log(sigmoid(logits)) + (1 - x) * np.log(sigmoid(-logits))
    ).sum(1),
    lambda logits, x: (
        x * np.log(1 + np.exp(-logits)) + (1 - x) * np.log(1 + np.exp(logits))
    ).sum(1),
    lambda logits, x: np.where(
        x > 0.5, -np.log(sigmoid(logits)), -np.log(1 - sigmoid(logits))
    ).sum(1),
)  # fmt: skip
CLIPPED = "an eps in the log bounds the cost and bends the loss: work on logits instead"
for eps in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16):
    BCE.mistake(
        "M53", CLIPPED,
        lambda logits, x, eps=eps: -(
            x * np.log(sigmoid(logits) + eps)
            + (1 - x) * np.log(1 - sigmoid(logits) + eps)
        ).sum(1),
        lambda logits, x, eps=eps: costs(
            np.clip(sigmoid(logits), eps, 1 - eps), x
        ).sum(1),
    )  # fmt: skip
for most in (10, 15, 20, 30, 50, 100, 500, 700):
    BCE.mistake(
        "clip", "cutting large logits makes all that is beyond cost the same",
        lambda logits, x, most=most: bce_with_logits(np.clip(logits, -most, most), x),
        lambda logits, x, most=most: costs(
            sigmoid(np.clip(logits, -most, most)), x
        ).sum(1),
    )  # fmt: skip
BCE.mistake(
    "M27", "these are logits: apply the sigmoid once",
    lambda logits, x: costs(sigmoid(sigmoid(logits)), x).sum(1),
    lambda logits, x: bce_with_logits(sigmoid(logits), x),
)  # fmt: skip
BCE.mistake(
    "logits", "logits are no probabilities: p = sigmoid(logits)",
    lambda logits, x: costs(logits, x).sum(1),
    lambda logits, x: np.nan_to_num(costs(logits, x)).sum(1),
)  # fmt: skip
BCE.mistake(
    "M141", "pixels are from 0 to 1 as they come: scale nothing here",
    lambda logits, x: bce_with_logits(logits, 16 * x),
    lambda logits, x: bce_with_logits(logits, 255 * x),
    lambda logits, x: bce_with_logits(logits, x / 16),
    lambda logits, x: bce_with_logits(logits, x / 255),
)  # fmt: skip
BCE.mistake(
    "sign", "-log of a probability is never below 0: the sign",
    lambda logits, x: -bce_with_logits(logits, x),
)  # fmt: skip
BCE.mistake(
    "paper", "each pixel has two parts: x log p for ink, (1 - x) log(1 - p) for paper",
    lambda logits, x: (x * np.logaddexp(0, -logits)).sum(1),
    lambda logits, x: ((1 - x) * np.logaddexp(0, logits)).sum(1),
    lambda logits, x: -(x * np.log(sigmoid(logits))).sum(1),
    lambda logits, x: bce_with_logits(-logits, x),
    lambda logits, x: bce_with_logits(logits, 1 - x),
    lambda logits, x: np.logaddexp(0, logits).sum(1),
    lambda logits, x: (np.logaddexp(0, logits) + x * logits).sum(1),
)  # fmt: skip
BCE.mistake(
    "abs", "the first part is max(logit, 0), the exp takes -|logit|",
    lambda logits, x: (
        np.maximum(logits, 0) - x * logits + np.log1p(np.exp(np.abs(logits)))
    ).sum(1),
    lambda logits, x: (
        np.maximum(logits, 0) - x * logits + np.log1p(np.exp(-logits))
    ).sum(1),
    lambda logits, x: (
        np.abs(logits) - x * logits + np.log1p(np.exp(-np.abs(logits)))
    ).sum(1),
    lambda logits, x: (logits - x * logits + np.log1p(np.exp(-np.abs(logits)))).sum(1),
    lambda logits, x: (np.maximum(logits, 0) - x * logits).sum(1),
)  # fmt: skip
BCE.mistake(
    "axis", "one number for each picture: sum over its pixels, axis 1",
    lambda logits, x: pixels(logits, x).sum(0),
    lambda logits, x: pixels(logits, x).sum(),
    lambda logits, x: pixels(logits, x).mean(),
    lambda logits, x: pixels(logits, x).sum(1).mean(),
    lambda logits, x: pixels(logits, x),
    lambda logits, x: pixels(logits, x).sum(1, keepdims=True),
)  # fmt: skip
BCE.mistake(
    "square", "that is a squared error; pixels that are ink or not cost -log p",
    lambda logits, x: ((sigmoid(logits) - x) ** 2).sum(1),
    lambda logits, x: ((logits - x) ** 2).sum(1),
)  # fmt: skip
BCE.mistake(
    "swapped", "logits come first, then the picture x",
    lambda logits, x: bce_with_logits(x, logits),
)  # fmt: skip


def pixels(logits, x):
    return np.logaddexp(0, logits) - x * logits


### END HIDDEN TESTS
# ---- 3.4 ------------------------------------------------------------------------
def sample_z_rule(g, mu, logvar, eps):
    """The rule of sample_z by its first two arguments: return dmu, dlogvar.

    g is the slope of a loss by z = mu + exp(logvar / 2) * eps. The noise eps is given
    and has no slope.

    g, mu, logvar, eps: (N, z) -> dmu, dlogvar: (N, z) each.
    """
    ### BEGIN SOLUTION
    return g, g * eps * np.exp(logvar / 2) / 2
    ### END SOLUTION


### BEGIN TESTS
RULE = task(
    "3.4", "sample_z_rule", points=3, needs=["3.1"],
    hint="dz/dmu is 1; exp(logvar / 2) is its own slope, times the 1/2 from inside",
)  # fmt: skip


def reparametrised(mu, logvar, eps):
    """z, with the deviation as the root of a variance."""
    return np.sqrt(np.exp(logvar)) * eps + mu


@RULE.gradient(
    forward=reparametrised,
    call=lambda rule, g, mu, logvar, eps: (
        *rule(g, mu, logvar, eps), g * np.sqrt(np.exp(logvar))
    ),
)  # fmt: skip
def _(rng, N=5, z=3):
    """the slopes of z by mu and logvar"""
    return tuple(rng.normal(size=(N, z)) for _ in range(3))


@RULE.value
def _(rng, N=5, z=3):
    """equals the slopes on paper"""
    return tuple(rng.normal(size=(N, z)) for _ in range(4))


@RULE.invariant
def _(sample_z_rule, rng):
    """without noise logvar has no slope; with the opposite noise the opposite"""
    g, mu, logvar, eps = (rng.normal(size=(5, 3)) for _ in range(4))
    none = sample_z_rule(g, mu, logvar, 0 * eps)[1]
    assert np.allclose(none, 0), "where eps is 0, z does not feel logvar: 0 there"
    turned = sample_z_rule(g, mu, logvar, -eps)[1]
    opposite = np.allclose(turned, -sample_z_rule(g, mu, logvar, eps)[1])
    assert opposite, "dlogvar must change sign with eps"


### END TESTS
### BEGIN HIDDEN TESTS
@RULE.value
def _(rng, N=7, z=2):
    """for deviations from a hundredth to a hundred"""
    shape = N, z
    normal = [rng.normal(size=shape) for _ in range(3)]
    return *normal[:2], rng.uniform(-9, 9, shape), normal[2]


RULE.mistake(
    "M01", "exp(logvar / 2) has the slope exp(logvar / 2) / 2: the 1/2 from inside",
    lambda g, mu, logvar, eps: (g, g * eps * np.exp(logvar / 2)),
)  # fmt: skip
RULE.mistake(
    "M132", "the deviation is exp(logvar / 2): the rule must know the same forward",
    lambda g, mu, logvar, eps: (g, g * eps * np.exp(logvar)),
    lambda g, mu, logvar, eps: (g, g * eps * np.exp(logvar) / 2),
    lambda g, mu, logvar, eps: (g, g * eps * logvar),
    lambda g, mu, logvar, eps: (g, g * eps * logvar / 2),
    lambda g, mu, logvar, eps: (g, g * eps / 2),
    lambda g, mu, logvar, eps: (g, g * eps),
)  # fmt: skip
RULE.mistake(
    "M139", "z feels logvar through the noise: its slope is not 0",
    lambda g, mu, logvar, eps: (g, np.zeros_like(g)),
    lambda g, mu, logvar, eps: (g, None),
)  # fmt: skip
RULE.mistake(
    "eps", "the noise is a factor of the deviation, and so of its slope",
    lambda g, mu, logvar, eps: (g, g * np.exp(logvar / 2) / 2),
    lambda g, mu, logvar, eps: (g, g * np.exp(logvar / 2)),
)  # fmt: skip
RULE.mistake(
    "M17", "chain rule: multiply by what arrives, g",
    lambda g, mu, logvar, eps: (np.ones_like(g), eps * np.exp(logvar / 2) / 2),
    lambda g, mu, logvar, eps: (1.0, eps * np.exp(logvar / 2) / 2),
)  # fmt: skip
RULE.mistake(
    "M27", "mu is added, so its slope is g alone",
    lambda g, mu, logvar, eps: (g * mu, g * eps * np.exp(logvar / 2) / 2),
    lambda g, mu, logvar, eps: (g * eps, g * eps * np.exp(logvar / 2) / 2),
)  # fmt: skip
RULE.mistake(
    "z", "the slope of exp(logvar / 2) * eps has no mu in it",
    lambda g, mu, logvar, eps: (g, g * reparametrised(mu, logvar, eps) / 2),
    lambda g, mu, logvar, eps: (g, g * (mu + eps * np.exp(logvar / 2) / 2)),
)  # fmt: skip
RULE.mistake(
    "M07", "one slope for each picture and number: there is nothing to sum or average",
    lambda g, mu, logvar, eps: (g.sum(0), (g * eps * np.exp(logvar / 2) / 2).sum(0)),
    lambda g, mu, logvar, eps: (g.mean(0), (g * eps * np.exp(logvar / 2) / 2).mean(0)),
    lambda g, mu, logvar, eps: (g / len(g), g * eps * np.exp(logvar / 2) / 2 / len(g)),
)  # fmt: skip
RULE.mistake(
    "swapped", "dmu comes first, then dlogvar",
    lambda g, mu, logvar, eps: (g * eps * np.exp(logvar / 2) / 2, g),
)  # fmt: skip
RULE.mistake(
    "sign", "the sign: exp(logvar / 2) grows with logvar",
    lambda g, mu, logvar, eps: (g, -g * eps * np.exp(logvar / 2) / 2),
    lambda g, mu, logvar, eps: (-g, -g * eps * np.exp(logvar / 2) / 2),
    lambda g, mu, logvar, eps: (g, g * eps * np.exp(-logvar / 2) / 2),
)  # fmt: skip


### END HIDDEN TESTS
# ---- 3.5 ------------------------------------------------------------------------
def loss(logits, x, mu, logvar):
    """The loss of a VAE, in nats for each picture. It has a bug: find it.

    The mean, over the pictures, of -log p(x|z) plus the KL of the code: all pixels of a
    picture count, and all numbers of its code. With the bug all pictures come out the
    same blur, for their pixels are next to free. One line must change.

    logits, x: (N, D), mu, logvar: (N, z) -> one number.
    """
    pixels = np.maximum(logits, 0) - x * logits + np.log1p(np.exp(-abs(logits)))
    code = mu**2 + np.exp(logvar) - 1 - logvar
    """ # BEGIN PROMPT
    return np.mean(pixels) + np.mean(np.sum(code, axis=1)) / 2
    """  # END PROMPT
    # BEGIN SOLUTION NO PROMPT
    return np.mean(np.sum(pixels, axis=1)) + np.mean(np.sum(code, axis=1)) / 2
    # END SOLUTION


### BEGIN TESTS
LOSS = task(
    "3.5", "loss", points=3, needs=["3.2", "3.3"],
    hint="give it one picture, then one pixel more: how much must the loss grow?",
)  # fmt: skip


@LOSS.value
def _(rng, N=5, D=7, z=3):
    """equals the mean cost of a picture and its code"""
    pictures = 3 * rng.normal(size=(N, D)), rng.uniform(size=(N, D))
    return *pictures, rng.normal(size=(N, z)), rng.normal(size=(N, z))


@LOSS.gradient(
    backward=lambda g, logits, x, mu, logvar: (
        g * (1 / (1 + np.exp(-logits)) - x) / len(x), -g * logits / len(x),
        g * mu / len(x), g * np.expm1(logvar) / (2 * len(x)),
    ),
)  # fmt: skip
def _(rng, N=5, D=7, z=3):
    """its slopes by logits, mu and logvar"""
    pictures = 3 * rng.normal(size=(N, D)), rng.uniform(size=(N, D))
    return *pictures, rng.normal(size=(N, z)), rng.normal(size=(N, z))


@LOSS.invariant
def _(loss, rng):
    """a picture with all its pixels twice costs twice as much"""
    logits, x = rng.normal(size=(5, 7)), rng.uniform(size=(5, 7))
    zero = np.zeros((5, 3))
    once = loss(logits, x, zero, zero)
    twice = loss(np.hstack([logits, logits]), np.hstack([x, x]), zero, zero)
    right = np.isclose(twice, 2 * once)
    assert right, f"the pixels cost {once:.4g}, all of them twice {twice:.4g}"


### END TESTS
### BEGIN HIDDEN TESTS
@LOSS.value
def _(rng, N=3, D=11, z=2):
    """for other sizes, logits of a hundred"""
    pictures = 100 * rng.normal(size=(N, D)), rng.integers(0, 2, (N, D)) * 1.0
    return *pictures, rng.normal(size=(N, z)), rng.normal(size=(N, z))


@LOSS.invariant
def _(loss, rng):
    """every picture given twice: the same loss"""
    inputs = [rng.normal(size=(5, d)) for d in (7, 7, 3, 3)]
    once, twice = loss(*inputs), loss(*(np.concatenate([x, x]) for x in inputs))
    assert np.isclose(once, twice), "it is a mean over pictures: 5 or 10, the same"


def parts(logits, x, mu, logvar):
    """(the pixels' costs (N, D), the code's (N, z))."""
    return np.logaddexp(0, logits) - x * logits, terms(mu, logvar)


def with_parts(combine):
    return lambda logits, x, mu, logvar: combine(*parts(logits, x, mu, logvar))


LOSS.mistake(
    "M55", "sum over the pixels of a picture, mean over the pictures: not both a mean",
    with_parts(lambda p, k: p.mean() + k.sum(1).mean()),
)  # fmt: skip
LOSS.mistake(
    "scale", "both parts the same way: sum over pixels, sum over the code, mean over N",
    with_parts(lambda p, k: p.mean() + k.mean()),
    with_parts(lambda p, k: p.sum(1).mean() + k.mean()),
    with_parts(lambda p, k: p.mean() + k.sum(1).mean() / p.shape[1]),
)  # fmt: skip
LOSS.mistake(
    "batch", "a mean over the pictures in both parts",
    with_parts(lambda p, k: p.sum() + k.sum()),
    with_parts(lambda p, k: p.sum() + k.sum(1).mean()),
    with_parts(lambda p, k: p.sum(1).mean() + k.sum()),
    with_parts(lambda p, k: p.sum(1) + k.sum(1)),
    with_parts(lambda p, k: p.sum(0).mean() + k.sum(1).mean()),
)  # fmt: skip
LOSS.mistake(
    "M129", "the KL is a price: add it",
    with_parts(lambda p, k: p.sum(1).mean() - k.sum(1).mean()),
    with_parts(lambda p, k: -p.sum(1).mean() + k.sum(1).mean()),
    with_parts(lambda p, k: -p.sum(1).mean() - k.sum(1).mean()),
)  # fmt: skip
LOSS.mistake(
    "half", "the 1/2 of the KL was right",
    with_parts(lambda p, k: p.sum(1).mean() + 2 * k.sum(1).mean()),
    with_parts(lambda p, k: (p.sum(1).mean() + 2 * k.sum(1).mean()) / 2),
)  # fmt: skip
LOSS.mistake(
    "part", "a VAE pays for both: the picture and its code",
    with_parts(lambda p, k: p.sum(1).mean()),
    with_parts(lambda p, k: k.sum(1).mean()),
)  # fmt: skip
LOSS.mistake(
    "M131", ONE_MEANING,
    lambda logits, x, mu, logvar: loss(logits, x, mu, logvar)
    - terms(mu, logvar).sum(1).mean()
    + 0.5 * (mu**2 + np.exp(logvar) - 1 - 2 * logvar).sum(1).mean(),
    lambda logits, x, mu, logvar: loss(logits, x, mu, 2 * logvar),
)  # fmt: skip


### END HIDDEN TESTS
