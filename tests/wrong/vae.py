"""Wrong answers to lessons/exercises/vae.py; see engine.py beside it."""

import numpy as np


def _p(a):
    return np.exp(-np.logaddexp(0, -a))


# ---- sample_z -------------------------------------------------------------------
def sample_z__M135(mu, logvar, eps):
    noise = np.tile(eps[0], (len(mu), 1))
    return mu + np.sqrt(np.exp(logvar)) * noise


def sample_z__M137(mu, logvar, eps):
    s = np.where(logvar > 0, logvar, 0.0)
    return s * eps + mu


def sample_z__M139(mu, logvar, eps):
    return mu + 0.0 * eps


def sample_z__M131(mu, logvar, eps):
    variance = np.exp(2 * logvar)
    return eps * variance + mu


def sample_z__M35(mu, logvar, eps):
    """two equal calls give different answers"""
    return mu + np.exp(0.5 * logvar) * np.random.normal(size=mu.shape)


# ---- kl -------------------------------------------------------------------------
def kl__M129(mu, logvar):
    return 0.5 * np.sum(1 + logvar - np.square(mu) - np.exp(logvar), axis=-1)


def kl__M131(mu, logvar):
    return -0.5 * np.sum(1 + 2 * logvar - np.square(mu) - np.exp(logvar), axis=-1)


def kl__M131__deviation(mu, logvar):
    s = np.exp(logvar)
    return np.sum((s * s + mu * mu - 1) / 2 - np.log(s), axis=-1)


def kl__M133(mu, logvar):
    s = np.sqrt(np.exp(logvar))
    total = np.zeros(len(mu))
    for k in range(mu.shape[1]):
        total += np.log(1 / s[:, k] + (s[:, k] ** 2 + mu[:, k] ** 2) / 2 - 0.5)
    return total


# ---- bce_with_logits ------------------------------------------------------------
def bce_with_logits__M55(logits, x):
    return np.mean(np.logaddexp(0, logits) - x * logits, axis=-1)


def bce_with_logits__M57(logits, x):
    p = 1 / (1 + np.exp(-logits))
    return np.sum(-x * np.log(p) - (1 - x) * np.log(1 - p), axis=-1)


def bce_with_logits__M53(logits, x):
    p = _p(logits)
    ink, paper = np.log(p + 1e-8), np.log(1 - p + 1e-8)
    return -np.sum(x * ink + (1 - x) * paper, axis=-1)


def bce_with_logits__M53__clip(logits, x):
    p = np.minimum(np.maximum(_p(logits), 1e-7), 1 - 1e-7)
    return -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)


def bce_with_logits__M27(logits, x):
    z = _p(logits)
    return np.sum(np.logaddexp(0, z) - x * z, axis=-1)


def bce_with_logits__M141(logits, x):
    x = 16 * x
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)


# ---- sample_z_rule --------------------------------------------------------------
def sample_z_rule__M139(g, mu, logvar, eps):
    return 1 * g, 0 * g


def sample_z_rule__M17(g, mu, logvar, eps):
    return np.ones(mu.shape), 0.5 * np.sqrt(np.exp(logvar)) * eps


def sample_z_rule__M01(g, mu, logvar, eps):
    s = np.sqrt(np.exp(logvar))
    return g, g * s * eps


def sample_z_rule__M25(g, mu, logvar, eps):
    """wrote into its argument eps"""
    eps *= np.exp(logvar / 2) / 2
    return g, g * eps


# ---- loss -----------------------------------------------------------------------
def _rows(logits, x, mu, logvar):
    rec = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
    return rec, 0.5 * np.sum(np.square(mu) + np.exp(logvar) - 1 - logvar, axis=1)


def loss__M55(logits, x, mu, logvar):
    rec, code = _rows(logits, x, mu, logvar)
    return float(np.mean(rec / x.shape[1] + code))


def loss__M129(logits, x, mu, logvar):
    rec, code = _rows(logits, x, mu, logvar)
    return float(np.mean(rec - code))


def loss__M131(logits, x, mu, logvar):
    rec, code = _rows(logits, x, mu, logvar)
    return float(np.mean(rec + code - 0.5 * np.sum(logvar, axis=1)))
