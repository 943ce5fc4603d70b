"""FDr: Fréchet distances over those of validation images, averaged over extractors.

As FD-loss defines it (arXiv:2604.28190, `eval_all_fds.py`): FDr-X = FD-X / valFD-X, FDr6 the mean
over six spaces, all of them or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from ldmbench.catalog.normalisers import NORMALISERS
from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array
from ldmbench.metrics.engine import Engine, engine_of
from ldmbench.metrics.frechet import check_pair, frechet_distance, overlap
from ldmbench.metrics.frechet_influence import first_order, frechet_influences
from ldmbench.metrics.moments import gather
from ldmbench.metrics.resample import CONFIDENCE, Replicates, replicate

__all__ = ["fdr", "ratio_family", "ratio_of_features"]

Space = tuple[Array, Array, Array | None]
"""Features of samples (N, D), of the reference (M, D), of validation images (V, D) or None."""


def fdr(
    distances: Mapping[str, float], normalisers: Mapping[str, float] = NORMALISERS
) -> float | None:
    """Return the mean of distance / normaliser over all spaces of `normalisers`, or None.

    Args:
        distances: extractor -> Fréchet distance of the samples to the reference.
        normalisers: extractor -> that of validation images; those printed for FDr6 by default.

    Returns:
        None if a space is missing: means over other spaces are other measures.

    Raises:
        InputError: a normaliser that is not above 0.

    Examples:
        >>> fdr({"a": 3.0, "b": 1.0}, {"a": 1.5, "b": 2.0})
        1.25
        >>> fdr({"a": 3.0}, {"a": 1.5, "b": 2.0})
    """
    if any(not value > 0 for value in normalisers.values()):
        raise InputError(f"normalisers {dict(normalisers)} were given; each must be above 0")
    if not normalisers.keys() <= distances.keys():
        return None
    return float(np.mean([distances[name] / normalisers[name] for name in normalisers]))


def ratio_family(
    spaces: Iterable[Space],
    *,
    fdr_extractors: Sequence[str],
    fdr_normalisers: Literal["validation", "printed"] = "validation",
    confidence: float = CONFIDENCE,
    engine: Engine | None = None,
) -> dict[str, Replicates]:
    """Return {"fdr": ...}: the mean over spaces, with its interval.

    The interval is over fresh draws of samples and reference, the same positions in all spaces;
    validation images are taken as fixed, and a printed normaliser as exact.

    Args:
        spaces: one for each extractor, in its order.
        fdr_extractors: their names.
        fdr_normalisers: distances of the validation images given, or those printed.
        confidence: of the interval.
        engine: where products are formed; None: where the features are.

    Raises:
        InputError: bad features, an extractor without a printed normaliser, a normaliser of 0.
    """
    printed = NORMALISERS if fdr_normalisers == "printed" else None
    unknown = [name for name in fdr_extractors if printed is not None and name not in printed]
    if unknown:
        raise InputError(f"no normaliser is printed for {unknown[0]}; use validation images")
    values, gains, back, noise = [], [], [], 0.0
    for name, space in zip(fdr_extractors, spaces, strict=True):
        known = None if printed is None else printed[name]
        value, generated, reference, variance = _ratio(name, space, known, engine)
        values.append(value)
        gains.append(generated)
        back.append(reference)
        noise += variance
    many = len(values)
    note = "printed normalisers" if printed is not None else "validation images fixed"
    made = replicate(
        float(np.mean(values)),
        np.mean(gains, axis=0),
        np.mean(back, axis=0),
        excess=noise / many**2,
        floor=noise / many**2,
        confidence=confidence,
        note=f"mean over {many} spaces, {note}" if many > 1 else note,
    )
    return {"fdr": made}


def ratio_of_features(
    generated: object, reference: object, validation: object, *, confidence: float = CONFIDENCE
) -> dict[str, Replicates]:
    """Return {"fdr": ...} of features of one extractor, (N, D), (M, D) and (V, D)."""
    (x, y), (v, _) = check_pair(generated, reference), check_pair(validation, reference)
    return ratio_family([(x, y, v)], fdr_extractors=["features"], confidence=confidence)


def _ratio(
    name: str, space: Space, printed: float | None, engine: Engine | None
) -> tuple[float, Array, Array, float]:
    """Return a ratio, the influences of samples and of reference on it, and its second order."""
    x, y = check_pair(*space[:2])
    place = engine or engine_of(x, y)
    first, known = gather(x, engine=place), gather(y, engine=place)
    shared = overlap(first, known, x, y)
    delta = first.mean - known.mean
    distance = float(delta @ delta + np.trace(first.cov) + np.trace(known.cov)) - 2 * shared.trace
    found = frechet_influences(x, y, first, known, shared=shared)
    assert found.reference is not None
    below, turned = (printed, None) if printed is not None else _normaliser(name, space, place)
    reference = found.reference / below
    if turned is not None:
        reference = reference - distance / below**2 * turned
    return distance / below, found.generated / below, reference, found.excess / below**2


def _normaliser(name: str, space: Space, place: Engine) -> tuple[float, Array]:
    """Return the distance of the validation images, and what reference samples do to it."""
    _, reference, validation = space
    if validation is None:
        raise InputError(f"no validation images of {name} were given, whose distance is divided by")
    v, y = check_pair(validation, reference)
    below = frechet_distance(v, y)
    known = gather(y, engine=place)
    if not below > 1e-9 * float(np.trace(known.cov)):  # rounding of equal sets
        raise InputError(
            f"the distance of the validation images in {name} is {below:g}; they must be other"
            " images than the reference"
        )
    _, turned = first_order(v, y, gather(v, engine=place), known)
    assert turned is not None
    return below, turned
