"""Metrics that divide by the distance of validation images: what they need, and what is refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ldmbench.catalog.metrics import Metric
from ldmbench.catalog.normalisers import NORMALISER_SIDE, NORMALISERS
from ldmbench.errors import InputError, UnlikeError
from ldmbench.plan.score import FeatureSource, ImageSource
from ldmbench.schema.params import FilesSource
from ldmbench.schema.protocol import Protocol
from ldmbench.scoring.checks import check_side, rows_of
from ldmbench.scoring.sides import Side, first, pixels_of
from ldmbench.words import plural

__all__ = ["as_many", "check_ratio"]


def check_ratio(
    made: Side,
    real: Side | None,
    validation: Side | None,
    protocol: Protocol,
    wanted: Sequence[str],
    *,
    allowed: Collection[str] = (),
) -> None:
    """Refuse a ratio of distances without what it divides by, or with what would mean nothing.

    Raises:
        InputError: no validation images, features where several extractors look at images, or
            printed normalisers of other images.
        UnlikeError: validation images that are not like the samples, or are the reference.
    """
    row = _ratio(wanted)
    if row is None or real is None:
        if validation is not None:
            raise InputError(
                "--validation: no metric asked for divides by a distance of its images"
            )
        return
    spaces = row.family.extractors_of(protocol)
    if protocol.fdr_normalisers == "printed":
        _check_printed(row, made, real, validation, protocol, spaces)
    elif validation is None or validation.source is None:
        raise InputError(
            f"Missing option '--validation': {row.name} under {protocol.name} divides by the"
            " distance of real images that no model saw; give images, or a protocol with"
            " fdr_normalisers: printed"
        )
    else:
        if _digest(validation) == _digest(real):
            raise UnlikeError(
                f"{validation.name}: these are the reference {real.name}, whose distance to itself"
                " is 0; give other real images"
            )
        check_side(made, validation, protocol, allowed=allowed)
        if validation.source.count < 2:
            raise InputError(f"{validation.name}: 1 found, at least 2 are needed")
    for side in filter(None, (made, real, validation)):
        if len(spaces) > 1 and isinstance(side.source, FeatureSource):
            raise InputError(
                f"{side.name}: holds features of one extractor; {row.name} under {protocol.name}"
                f" looks at images with {len(spaces)}; give the images"
            )


def as_many(
    validation: Side | None, made: Side, wanted: Sequence[str]
) -> tuple[Side | None, list[str]]:
    """Return as many validation images as there are samples, and what to say of fewer.

    Images of files are taken in the order of their digests, so that the first are no one class.
    """
    if validation is None or validation.source is None or made.source is None:
        return validation, []
    row, count, there = _ratio(wanted), made.source.count, validation.source.count
    source = validation.source
    if there > count and isinstance(source, ImageSource) and isinstance(source.source, FilesSource):
        mixed = source.source.model_copy(update={"order": "digest"})
        validation = replace(validation, source=replace(source, source=mixed))
    if there >= count or row is None:
        return first(validation, min(count, there)), []
    return validation, [
        f"{validation.name}: {row.name} divides by the distance of"
        f" {plural(there, 'validation image')}, fewer than the {plural(count, 'sample')}: fewer"
        " images are farther from a reference, so the ratio is too small"
    ]


def _ratio(wanted: Sequence[str]) -> Metric | None:
    return next((row for row in rows_of(wanted) if row.family.against == "validation"), None)


def _digest(side: Side) -> object:
    source = side.source
    if isinstance(source, ImageSource):
        return source.source, source.split
    return source.digest if source else None


def _check_printed(
    row: Metric,
    made: Side,
    real: Side,
    validation: Side | None,
    protocol: Protocol,
    spaces: Sequence[str],
) -> None:
    """Refuse printed normalisers of images that they are not of."""
    what = f"{row.name} under {protocol.name} has printed normalisers"
    if validation is not None:
        raise InputError(f"{validation.name}: {what}; leave --validation out")
    unknown = [space for space in spaces if space not in NORMALISERS]
    if unknown:
        raise InputError(f"{what}, and none is printed for {unknown[0]}; use --validation")
    side = pixels_of(made)
    if side not in (None, NORMALISER_SIDE) or real.name.startswith("shapes:"):
        raise InputError(
            f"{what}, which are of ImageNet at {NORMALISER_SIDE} px; {made.name} has {side} px"
            f" against {real.name}; a protocol with fdr_normalisers: validation takes others"
        )
