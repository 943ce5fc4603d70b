"""Metrics that need what a model saw, and other images that it did not see."""

from __future__ import annotations

from collections.abc import Iterator

from ldmbench.errors import InputError, UnlikeError
from ldmbench.scoring.sides import Side
from ldmbench.words import plural

__all__ = ["check_train", "seen_warning"]


def seen_warning(metric: str, real: Side, train: Side) -> Iterator[str]:
    """Say how much of a reference the model saw, or nothing."""
    shared, count = _seen(real, train), len(_images(real))
    if shared:
        yield (
            f"{real.name}: {shared} of {plural(count, 'image')} are in the training set"
            f" {train.name} too; {metric} is meant against unseen ones"
        )


def check_train(metric: str, real: Side, train: Side | None) -> None:
    """Refuse a metric without the training set that it needs, or where the reference was seen.

    Args:
        metric: its name.
        real: the reference.
        train: what the model saw, if it was given.

    Raises:
        InputError: no training set, or statistics alone.
        UnlikeError: nothing of the reference is unseen.
    """
    if train is None:
        raise InputError(
            f"Missing option '--train': {metric} needs the images that the model saw, and as"
            " --reference others of the kind that it did not see"
        )
    if train.source is None:
        raise InputError(
            f"{train.name}: has mean and covariance only; {metric} needs images or features"
        )
    mine, theirs = (getattr(side.source, "digest", None) for side in (real, train))
    if (mine and mine == theirs) or 0 < len(_images(real)) == _seen(real, train):
        raise UnlikeError(
            f"{real.name}: all of the reference is in the training set {train.name}; {metric}"
            " needs a reference that the model did not see"
        )


def _seen(real: Side, train: Side) -> int:
    """Return how many images of a reference are in the training set, to the byte."""
    seen = set(_images(train))
    return sum(digest in seen for digest in _images(real))


def _images(side: Side) -> list[str]:
    """Return the digests of the images of one side, those a reference was built from too."""
    return [*(side.images or (side.provenance.images if side.provenance else {})).values()]
