"""Inception score of class logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_features, check_seed, whole

__all__ = ["InceptionScore", "inception_score", "split_slices"]

ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class InceptionScore:
    """Mean and population standard deviation of the score over splits."""

    mean: float
    std: float


def inception_score(
    logits: object, *, splits: int = 10, shuffle_seed: int | None = 2020
) -> InceptionScore:
    """Return exp(E KL(p(y|x) || p(y))), averaged over splits (Salimans et al. 2016, section 4).

    Args:
        logits: (N, C) unnormalised class scores, N >= splits.
        splits: consecutive parts of (nearly) equal size, as torch-fidelity cuts them.
        shuffle_seed: seed of the RandomState that permutes the samples first; None keeps the order.

    Returns:
        Mean and population standard deviation over splits; at least 1 up to rounding.

    Raises:
        InputError: bad logits, or more splits than samples.

    Examples:
        >>> round(inception_score([[9, 0, 0], [0, 9, 0], [0, 0, 9]], splits=1).mean, 3)
        2.993
    """
    x = check_features(logits, "logit", least=1)
    if not 1 <= whole(splits, "splits") <= len(x):
        raise InputError(
            f"{splits} splits were asked of {len(x)} samples; between 1 and {len(x)} are possible"
        )
    if shuffle_seed is not None:
        x = x[np.random.RandomState(check_seed(shuffle_seed)).permutation(len(x))]
    scores = [float(np.exp(divergences(x[part]).mean())) for part in split_slices(len(x), splits)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def split_slices(n: int, splits: int) -> list[slice]:
    """Return the consecutive slices that torch-fidelity cuts n samples into."""
    return [slice(i * n // splits, (i + 1) * n // splits) for i in range(splits)]


def divergences(logits: Array) -> Array:
    """Return KL(p_i || mean p) per sample, (N,) float64, of logits (N, C)."""
    marginal = np.zeros(logits.shape[1])
    for start in range(0, len(logits), ROWS_AT_ONCE):
        marginal += np.exp(log_softmax(logits[start : start + ROWS_AT_ONCE])).sum(axis=0)
    with np.errstate(divide="ignore"):  # a class no sample ever has: p = 0 there too
        log_marginal = np.log(marginal / len(logits))
    log_marginal[np.isneginf(log_marginal)] = 0.0
    out = np.empty(len(logits))
    for start in range(0, len(logits), ROWS_AT_ONCE):
        log_p = log_softmax(logits[start : start + ROWS_AT_ONCE])
        p = np.exp(log_p)
        log_p -= log_marginal
        out[start : start + ROWS_AT_ONCE] = np.einsum("nc,nc->n", p, log_p)
    return out


def log_softmax(logits: Array) -> Array:
    """Return log softmax over the last axis, float64."""
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    x -= np.log(np.exp(x).sum(axis=1, keepdims=True))
    return x
