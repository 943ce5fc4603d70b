"""Attributes: whether samples show the class that was asked for."""

from __future__ import annotations

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import as_array, check_features
from ldmbench.metrics.resample import CONFIDENCE, Replicates, replicate

__all__ = ["attribute_accuracy"]


def attribute_accuracy(
    logits: object, labels: object, *, confidence: float = CONFIDENCE
) -> Replicates:
    """Return the share of samples whose class, as an evaluator reads it, is the one asked for.

    Args:
        logits: (N, C) of the samples.
        labels: (N,) integers in [0, C): the classes asked for.
        confidence: of the interval.

    Raises:
        InputError: unlike numbers, or a class that the evaluator does not know.

    Examples:
        >>> attribute_accuracy([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]], [0, 1, 1]).value.__round__(3)
        0.667
    """
    x, asked = check_features(logits, "logit", least=1), as_array(labels)
    if asked.shape != (len(x),) or asked.dtype.kind not in "iu":
        raise InputError(
            f"labels must be integers ({len(x)},), found {asked.dtype} {asked.shape}; give the"
            " class that was asked for of each sample"
        )
    if not 0 <= asked.min() <= asked.max() < x.shape[1]:
        raise InputError(
            f"labels lie in {asked.min()} to {asked.max()}, but the evaluator knows classes 0 to"
            f" {x.shape[1] - 1}"
        )
    right = (x.argmax(axis=1) == asked).astype(np.float64)
    note = f"chance of {x.shape[1]} classes {1 / x.shape[1]:.3g}"
    return replicate(
        float(right.mean()), right, share=True, least=0.0, confidence=confidence, note=note
    )
