"""How good are samples? What a generative model made, against real data, in numbers.

No number tells all. `modes`, `precision_recall` and `class_balance` see a collapse;
`frechet_distance`, `mmd`, `energy_distance` and `sliced_wasserstein` compare clouds of
points; `parzen_log_likelihood` is the first GAN paper's figure; `nearest` and
`memorisation` ask whether the samples are copies.

Samples are arrays (N, ...), one sample in each row: points, features, or pictures,
which count as rows of pixels. Sums are in float64. Raises ValueError for arrays that do
not fit each other, are too few, or hold NaN or infinity.

For each measure, real data in place of the samples gives what can be reached at best.
It depends on the number of samples: compare figures of equal sizes only.
"""

import math
from typing import NamedTuple

import numpy as np

from .random import default_rng

_BLOCK = 2**22  # distances held at a time: 32 MB


def _rows(name, x, least=1):
    """x (N, ...) as finite float64 rows (N, D), on the CPU."""
    x = x.numpy() if hasattr(x, "numpy") else x  # a Tensor
    x = np.asarray(x.get() if hasattr(x, "get") else x, dtype=np.float64)
    if x.ndim < 2:
        raise ValueError(
            f"{name} has shape {x.shape}, expected (N, D): one sample in each row; "
            f"write {name}[:, None] for plain numbers"
        )
    if len(x) < least:
        raise ValueError(f"{name} has {len(x)} samples, expected at least {least}")
    if not np.isfinite(x).all():
        raise ValueError(
            f"{name} holds NaN or infinity; the model that made it has diverged"
        )
    return x.reshape(len(x), -1)


def _both(names, x, y, least=1):
    """x and y as rows of one space."""
    x, y = (_rows(name, a, least) for name, a in zip(names, (x, y)))
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"{names[0]} has {x.shape[1]} numbers in a sample and {names[1]} has "
            f"{y.shape[1]}; expected samples of one kind"
        )
    return x, y


def _distances(x, y):
    """Euclidean distances by blocks: (rows of x as a slice, (rows, M)) in turn.

    ||x - y||^2 = ||x||^2 + ||y||^2 - 2 x.y, about y's mean, where it is most accurate.
    What rounding leaves of points that coincide, up to 3e-7 of ||x||, counts as 0.
    """
    centre = y.mean(axis=0)
    x, y = x - centre, y - centre
    x_square, y_square = ((a**2).sum(axis=1) for a in (x, y))
    step = max(1, _BLOCK // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        square = x_square[rows, None] + y_square
        square -= 2 * x[rows] @ y.T
        square *= square > 1e-13 * x_square[rows, None]
        yield rows, np.sqrt(square, out=square)


# ---- mode collapse --------------------------------------------------------------
class Modes(NamedTuple):
    """Modes that have samples, share of samples near a mode, and how many for each."""

    covered: int
    high_quality: float
    counts: np.ndarray


def modes(samples, centres, sigma):
    """A sample is of high quality if ||x - c|| <= 3 sigma for its nearest centre c.

    samples (N, D), centres (K, D), sigma the standard deviation of each mode. covered:
    centres with at least one sample of high quality; high_quality: their share in
    [0, 1]; counts (K,): their number at each centre. Real points of D = 2 have a share
    of 1 - exp(-9/2) = 0.989.

    The protocol of Srivastava et al. 2017, "VEEGAN", arXiv:1705.07761, table 1, and
    of Lin et al. 2018, "PacGAN", arXiv:1712.04086, who take 2,500 samples. One sample
    in 2,500 is enough to cover a mode: read covered and counts together.
    """
    samples, centres = _both(("samples", "centres"), samples, centres)
    if not sigma > 0:
        raise ValueError(
            f"sigma is {sigma}, expected the modes' standard deviation, above 0"
        )
    away, at = nearest(samples, centres)
    counts = np.bincount(at[away <= 3 * sigma], minlength=len(centres))
    return Modes(int((counts > 0).sum()), float(counts.sum() / len(samples)), counts)


class Balance(NamedTuple):
    """Shares of the classes, how far they are from uniform, and their entropy."""

    shares: np.ndarray
    factor: float
    entropy: float


def class_balance(y, classes=None):
    """Shares p_c of the classes among samples that a classifier has labelled.

    y (N,) labels 0 .. classes - 1, or (N, classes) scores or probabilities, of which
    the largest counts. shares (classes,); factor: the largest of p_c C and 1 / (p_c C),
    1 if uniform and infinite if a class is missing; entropy: -sum_c p_c log p_c in
    nats, log C if uniform and 0 if one class is all there is.
    """
    y = np.asarray(y.numpy() if hasattr(y, "numpy") else y)
    if y.ndim == 2:
        if classes not in (None, y.shape[1]):
            raise ValueError(f"y has {y.shape[1]} columns, expected {classes}: classes")
        y, classes = y.argmax(axis=1), y.shape[1]
    if y.ndim != 1 or len(y) == 0 or y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(
            f"y has shape {y.shape} and dtype {y.dtype}, expected labels (N,) from 0 "
            "or probabilities (N, classes)"
        )
    if classes is None or y.max() >= classes:
        raise ValueError(
            f"classes is {classes}, expected how many there are, those without samples "
            f"too: at least {y.max() + 1}"
        )
    shares = np.bincount(y, minlength=classes) / len(y)
    some = shares[shares > 0]
    least = shares.min() * classes
    factor = max(shares.max() * classes, 1 / least if least else math.inf)
    return Balance(shares, float(factor), max(0.0, float(-(some * np.log(some)).sum())))


# ---- distances between two clouds of points -------------------------------------
def median_distance(x, y, most=1000):
    """The median distance between two points of x and y together: mmd's bandwidth.

    Of at most `most` points of each, evenly spaced in their order.
    """
    x, y = _both(("x", "y"), x, y)
    some = (np.linspace(0, len(a) - 1, min(len(a), most)).astype(int) for a in (x, y))
    points = np.concatenate([a[i] for a, i in zip((x, y), some)])
    i = np.arange(len(points))
    pairs = [d[i > i[rows, None]] for rows, d in _distances(points, points)]
    return float(np.median(np.concatenate(pairs)))


def mmd(x, y, bandwidth=None):
    """Squared maximum mean discrepancy: E k(x, x') + E k(y, y') - 2 E k(x, y).

    k(a, b) = exp(-||a - b||^2 / (2 h^2)); x' is another draw than x. h is bandwidth, or
    the median distance between all points. Unbiased: 0 on average if x and y come from
    one distribution, so at times below 0. Values with different h do not compare.
    x (N, ...), y (M, ...), N and M at least 2.

    Gretton et al. 2012, "A kernel two-sample test", JMLR 13, lemma 6.
    """
    x, y = _both(("x", "y"), x, y, least=2)
    h = median_distance(x, y) if bandwidth is None else bandwidth
    if not h > 0:
        raise ValueError(
            f"the bandwidth is {h}, expected a number above 0; most points coincide "
            "if it is the median distance: give bandwidth="
        )

    def total(a, b):
        return sum(np.exp(d**2 / (-2 * h**2)).sum() for _, d in _distances(a, b))

    def others(a):  # without the N pairs of a point with itself, where k = 1
        return (total(a, a) - len(a)) / (len(a) * (len(a) - 1))

    return float(others(x) + others(y) - 2 * total(x, y) / (len(x) * len(y)))


def energy_distance(x, y):
    """2 E ||x - y|| - E ||x - x'|| - E ||y - y'||, over all pairs: 0 only if x is y.

    x (N, ...), y (M, ...). Pairs of a point with itself count, so it is never below 0,
    and a little above for two samples of one distribution: by 2 E ||x - x'|| / N on
    average at N = M. Székely and Rizzo 2013, "Energy statistics", J. Stat. Plan.
    Inference 143.
    """
    x, y = _both(("x", "y"), x, y)

    def mean(a, b):
        return sum(d.sum() for _, d in _distances(a, b)) / (len(a) * len(b))

    return max(0.0, float(2 * mean(x, y) - mean(x, x) - mean(y, y)))


def sliced_wasserstein(x, y, projections=500, p=2, rng=None):
    """(E_theta W_p(theta.x, theta.y)^p)^(1/p), theta uniform on the unit sphere.

    On a line W_p^p is the integral of |F^-1(u) - G^-1(u)|^p over u in [0, 1], F^-1 and
    G^-1 being the quantiles: what it costs to move each sorted number to its partner.
    x (N, ...), y (M, ...); N and M may differ. The mean is over `projections` draws of
    theta; the same rng gives the same theta.

    In the unit of x. Above 0 for two samples of one distribution too: measure that
    floor with as many points. Bonneel, Rabin, Peyré, Pfister 2015, "Sliced and Radon
    Wasserstein barycenters of measures", J. Math. Imaging Vis. 51.
    """
    x, y = _both(("x", "y"), x, y)
    if not p >= 1:
        raise ValueError(f"p is {p}, expected at least 1; 1 and 2 are usual")
    theta = default_rng(rng).standard_normal((projections, x.shape[1]))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    # The quantiles are steps: between two neighbours of these u both stand still.
    ends = np.arange(1, len(x) + 1) / len(x), np.arange(1, len(y) + 1) / len(y)
    u = np.union1d(*ends)
    share = np.diff(u, prepend=0)
    at_x, at_y = (np.searchsorted(end, u - share / 2) for end in ends)
    total = 0.0
    for direction in theta:
        a, b = np.sort(x @ direction)[at_x], np.sort(y @ direction)[at_y]
        total += share @ np.abs(a - b) ** p
    return float((total / projections) ** (1 / p))


def frechet_distance(a, b):
    """||mu_a - mu_b||^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)): a squared distance.

    Between the Gaussians with the means and covariances of a (N, ...) and b (M, ...),
    N and M at least 2; their W_2, squared. Few samples make it larger: state N and M.

    Dowson and Landau 1982. With the features of an Inception network for a and b it is
    called FID (Heusel et al. 2017, arXiv:1706.08500); with other features it is
    not FID, and the two do not compare.
    """
    a, b = _both(("a", "b"), a, b, least=2)
    root_a, root_b = _root_of_covariance(a), _root_of_covariance(b)
    # Tr (C_a C_b)^(1/2) is the sum of the singular values of C_a^(1/2) C_b^(1/2).
    overlap = np.linalg.norm(root_a @ root_b, "nuc")
    spread = (root_a**2).sum() + (root_b**2).sum()  # Tr C = ||C^(1/2)||^2
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return max(0.0, float(apart + spread - 2 * overlap))


def _root_of_covariance(x):
    """C^(1/2) = V diag(lambda^(1/2)) V^T for C = V diag(lambda) V^T: (D, D)."""
    values, V = np.linalg.eigh(np.atleast_2d(np.cov(x, rowvar=False)))
    values[values < len(values) * np.finfo(float).eps * values.max()] = 0  # rounding
    return V * np.sqrt(values) @ V.T


# ---- quality and variety apart --------------------------------------------------
class PrecisionRecall(NamedTuple):
    """Share of samples that look real, and share of real data that can be made."""

    precision: float
    recall: float


def precision_recall(real, fake, k=3):
    """Shares of fake within the reach of real, and of real within the reach of fake.

    The reach of a set is the union of balls about its points, each as wide as the
    distance to the point's k-th nearest neighbour in the set. real (N, ...), fake
    (M, ...), N and M above k and best equal: the reach of more points is finer. Use
    features, or points; distances between pixels mean little.

    Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing
    generative models", arXiv:1904.06991, algorithm 1, with k = 3 as there.
    """
    real, fake = _both(("real", "fake"), real, fake, least=k + 1)
    return PrecisionRecall(_share_within(fake, real, k), _share_within(real, fake, k))


def _share_within(x, others, k):
    """The share of x that lies in a ball about one of `others`."""
    width = np.empty(len(others))
    for rows, d in _distances(others, others):
        width[rows] = np.partition(d, k, axis=1)[:, k]  # the point itself is the 0-th
    within = sum((d <= width).any(axis=1).sum() for _, d in _distances(x, others))
    return float(within / len(x))


# ---- likelihood -----------------------------------------------------------------
class Estimate(NamedTuple):
    """A mean and its standard error."""

    mean: float
    error: float


def parzen_log_likelihood(samples, test, sigma):
    """log 1/N sum_i N(x; s_i, sigma^2 I), mean over the test points x, in nats.

    samples s (N, ...), test x (M, ...). A window on every sample makes them a density;
    `choose_sigma` finds its width. error is the standard deviation over the test points
    by sqrt(M).

    Goodfellow et al. 2014, arXiv:1406.2661, table 1: 225 +- 2 for their GAN on MNIST,
    pixels in [0, 1], N = 10,000 (their code's default). A poor guide in many
    dimensions: Theis, van den Oord and Bethge 2016, arXiv:1511.01844.
    """
    samples, test = _both(("samples", "test"), samples, test)
    if not sigma > 0:
        raise ValueError(
            f"sigma is {sigma}, expected the window's standard deviation, above 0"
        )
    n, d = samples.shape
    density = np.empty(len(test))
    for rows, distance in _distances(test, samples):
        exponent = distance**2 / (-2 * sigma**2)
        top = exponent.max(axis=1)
        density[rows] = top + np.log(np.exp(exponent - top[:, None]).sum(axis=1))
    density -= math.log(n) + d / 2 * math.log(2 * math.pi * sigma**2)
    return Estimate(float(density.mean()), float(density.std() / math.sqrt(len(test))))


def choose_sigma(samples, validation, sigmas=None):
    """The width of the window under which validation data has the highest likelihood.

    sigmas: the widths to try; 10 from 0.1 to 1 in equal ratios if None, as in the code
    of Goodfellow et al. 2014, who validate on 1,000 images apart from the test set.
    """
    sigmas = np.logspace(-1, 0, 10) if sigmas is None else list(sigmas)
    means = [parzen_log_likelihood(samples, validation, s).mean for s in sigmas]
    return float(sigmas[int(np.argmax(means))])


# ---- memorisation ---------------------------------------------------------------
class Nearest(NamedTuple):
    """The distance (N,) from each sample to its nearest neighbour, and which it is."""

    distance: np.ndarray
    index: np.ndarray


def nearest(samples, train):
    """min_i ||x - t_i|| for each sample x, and the i of it.

    samples (N, ...), train t (M, ...). Look at samples beside their neighbours: a model
    that has learnt by heart shows the same picture twice.
    """
    samples, train = _both(("samples", "train"), samples, train)
    index = np.empty(len(samples), np.int64)
    for rows, d in _distances(samples, train):
        index[rows] = d.argmin(axis=1)
    return Nearest(np.linalg.norm(samples - train[index], axis=1), index)


def memorisation(samples, train, test):
    """P(d(sample, train) < d(test, train)), d the distance to the nearest neighbour.

    Over all pairs of a sample and a held-out point, ties half. About 0.5 if samples are
    as far from the training data as held-out data is, 1 for copies of the training
    data, near 0 for samples that resemble nothing. Blurred pictures are near to many
    others and raise it too: look at the neighbours.

    The statistic of Meehan, Chaudhuri and Dasgupta 2020, "A non-parametric test to
    detect data-copying in generative models", arXiv:2004.05675, without its cells.
    """
    of_samples = nearest(samples, train).distance
    of_test = np.sort(nearest(test, train).distance)
    above = len(of_test) - np.searchsorted(of_test, of_samples, "right")
    equal = len(of_test) - np.searchsorted(of_test, of_samples, "left") - above
    return float((above + equal / 2).mean() / len(of_test))
