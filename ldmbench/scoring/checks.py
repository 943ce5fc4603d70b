"""Whether samples and reference are alike enough to be scored, and what to warn of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ldmbench.catalog.extractors import EXTRACTORS, extractor_named
from ldmbench.catalog.metrics import OF_FILES, SCORABLE, Against, Metric, listed, names_against
from ldmbench.errors import InputError, UnlikeError
from ldmbench.plan.minimum_samples import least
from ldmbench.plan.score import FeatureSource, ImageSource, families_of
from ldmbench.records.cautions import few_samples, unlike_count
from ldmbench.registry import pick
from ldmbench.schema.protocol import Protocol
from ldmbench.scoring.sides import Side, pixels_of
from ldmbench.scoring.training import check_train, seen_warning
from ldmbench.sources.evaluators import extractor_digest
from ldmbench.words import plural

MORE = ("logits", "spatial")
"""Arrays that not every extractor or file of features has."""


def rows_of(metrics: Sequence[str]) -> list[Metric]:
    """Return the rows of metrics."""
    return [SCORABLE[name] for name in metrics]


def _names(metrics: Sequence[str], against: Against) -> list[str]:
    """Return those of some metrics that compare samples with one kind of thing."""
    return [row.name for row in rows_of(metrics) if row.family.against == against]


def wanted_of(
    metrics: str,
    real: Side | None,
    beside: Side | None,
    prompts: Path | None,
    train: Side | None = None,
) -> tuple[str, ...]:
    """Return the metrics asked for, or those that the input allows.

    Raises:
        InputError: if one is unknown.
    """
    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    for name in names:
        pick(OF_FILES, name, "metric")
    if names:
        return tuple(dict.fromkeys(names))
    there: dict[Against, bool] = {
        "reference": real is not None and real.source is not None,
        "training": bool(train),
        "pair": bool(beside),
        "caption": bool(prompts),
    }
    served = sorted(real.moments) if real is not None and real.source is None else []
    usual = [name for name, row in SCORABLE.items() if row.usual]
    return (*served, *(n for way, has in there.items() if has for n in _names(usual, way)))


def check(
    made: Side,
    real: Side | None,
    beside: Side | None,
    protocol: Protocol,
    wanted: Sequence[str],
    *,
    train: Side | None = None,
    allowed: Collection[str] = (),
) -> None:
    """Refuse what cannot be scored, or would mean nothing, before anything runs.

    Args:
        made: what is scored.
        real: the reference, if one was given.
        beside: the other halves of pairs, if they were given.
        protocol: how.
        wanted: the metrics.
        train: what the model saw, if it was given.
        allowed: unlikenesses that the user takes upon himself: "crop".

    Raises:
        InputError: what is missing or too few.
        UnlikeError: naming what samples and reference do not share.
    """
    _check_source(made, rows_of(wanted), protocol)
    _check_count(made, [least(name, protocol)[0::2] for name in wanted])
    paired = _names(wanted, "pair")
    if paired:
        _check_pairs(made, beside, paired)
    held = [row.name for row in rows_of(wanted) if row.family.has_reference]
    if not held:
        return
    if real is None:
        raise InputError(
            f"Missing option '--reference': {', '.join(held)} compare samples with real images"
        )
    _check_statistics(real, held)
    _check_count(real, [least(name, protocol)[1:] for name in held])
    trained = _names(wanted, "training")
    if trained:
        check_train(trained[0], real, train)
    for side in (real, train if trained else None):
        if side is not None:
            check_side(made, side, protocol, allowed=allowed)


def check_side(
    made: Side, side: Side, protocol: Protocol, *, allowed: Collection[str] = ()
) -> None:
    """Refuse real images that are not like the samples.

    Raises:
        UnlikeError: another resolution, extractor or, unless it is allowed, crop.
    """
    _check_alike(made, side, protocol)
    if "crop" not in allowed:
        _check_crop(made, side, protocol)


def _check_source(made: Side, rows: Sequence[Metric], protocol: Protocol) -> None:
    if made.source is None:
        raise InputError(f"{made.name}: has statistics only; samples must be images or features")
    if isinstance(made.source, FeatureSource):
        _check_features(made, made.source, rows)
        return
    for row in rows:
        begin = row.family.defined_on
        if not protocol.extractor.startswith(begin):
            able = [name for name in EXTRACTORS if name.startswith(begin)]
            raise InputError(
                f"{row.name} is defined on features of {begin}, and {protocol.name} has"
                f" {protocol.extractor}; protocols of {', '.join(able)} have them"
            )
    for row in (row for row in rows if row.family.needs in MORE):
        spec, needs = extractor_named(row.family.extractor_of(protocol)), row.family.needs
        if not getattr(spec, needs):
            able = [e.name for e in EXTRACTORS.values() if getattr(e, needs)]
            raise InputError(
                f"{row.name} needs {needs} features, which {spec.name} has not; protocols of"
                f" {', '.join(able)} have them"
            )


def _check_features(made: Side, source: FeatureSource, rows: Sequence[Metric]) -> None:
    """Refuse metrics that a file of features cannot serve."""
    of_images = [row for row in SCORABLE.values() if row.family.needs in ("text", "images")]
    if any(row in of_images for row in rows):
        raise InputError(f"{made.name}: holds features; {listed(of_images)} need images")
    for row in rows:
        needs = row.family.needs
        if needs in MORE and not getattr(source, needs):
            raise InputError(f"{made.name}: has no {needs}; {row.name} needs them")
        if made.zeros and not row.family.zeros:
            raise InputError(
                f"{made.name}: features have {plural(made.zeros, 'row')} of zeros, whose cosines"
                f" {row.name} cannot take; leave them out"
            )


def _check_pairs(made: Side, beside: Side | None, wanted: Sequence[str]) -> None:
    if beside is None or not isinstance(beside.source, ImageSource):
        raise InputError(
            f"{names_against('pair')} need --pairs FOLDER with images of the same names"
        )
    lost = sorted(set(made.images) ^ set(beside.images))
    if lost:
        raise InputError(
            f"{beside.name}: {len(lost)} images are on one side only, such as {lost[0]}; pairs"
            " have the same names"
        )
    mine, theirs = pixels_of(made), pixels_of(beside)
    if mine != theirs:
        raise UnlikeError(
            f"samples are {mine} x {mine} pixels, their pairs in {beside.name} {theirs} x {theirs}"
        )
    for row in rows_of(wanted):
        if mine is not None and mine < row.smallest:
            raise InputError(
                f"{made.name}: {row.name} needs {row.smallest} pixels or more, found {mine}"
            )


def _check_statistics(real: Side, held: Sequence[str]) -> None:
    """Refuse, by name, what mean and covariance cannot serve."""
    source = real.source
    if source is None:
        refused = [name for name in held if name not in real.moments]
        if refused:
            served = ", ".join(sorted(real.moments))
            raise InputError(
                f"{real.name}: has mean and covariance only, which serve {served};"
                f" {', '.join(refused)} need images or features"
            )
    for row in rows_of(held):
        spatial = row.family.needs == "spatial"
        if spatial and isinstance(source, FeatureSource) and not source.spatial:
            raise InputError(f"{real.name}: has no spatial features; {row.name} needs them")


def _check_count(side: Side, needs: Sequence[tuple[int, str]]) -> None:
    """Refuse fewer images than the most that one of the metrics needs."""
    most, why = max(needs, key=lambda need: need[0])
    if side.source is not None and side.source.count < most:
        raise InputError(f"{side.name}: {side.source.count} found, at least {most} are needed{why}")


def _check_alike(made: Side, real: Side, protocol: Protocol) -> None:
    mine, theirs = pixels_of(made), pixels_of(real)
    if mine and theirs and mine != theirs:
        raise UnlikeError(
            f"samples are {mine} x {mine} pixels, {real.name} {theirs} x {theirs};"
            " prepare both in the same way: the resolution changes the features"
        )
    first, second = width_of(made, protocol), width_of(real, protocol)
    if first != second:
        raise UnlikeError(
            f"{made.name} has {first} features a sample, {real.name} {second}; both must come from"
            f" the same extractor ({protocol.extractor} under {protocol.name})"
        )
    mine_by, theirs_by = _maker(made, protocol), _maker(real, protocol)
    if None not in (mine_by, theirs_by) and mine_by != theirs_by:
        raise UnlikeError(
            f"feat is {mine_by} in {made.name} and {theirs_by} in {real.name}; build the reference"
            f" again under --protocol {protocol.name}"
        )


def _check_crop(made: Side, real: Side, protocol: Protocol) -> None:
    """Refuse crops that are known and differ; images taken as they are say nothing of theirs."""
    mine, theirs = _crop(made), _crop(real)
    advice = "prepare both in the same way, or use --allow crop"
    if mine and theirs and mine != theirs:
        raise UnlikeError(f"crop is {mine} in {made.name} and {theirs} in {real.name}; {advice}")
    asked = protocol.crop if protocol.crop != "none" else None
    if asked and theirs and asked != theirs:
        raise UnlikeError(
            f"crop is {asked} under {protocol.name} and {theirs} in {real.name}; {advice}"
        )


def _crop(side: Side) -> str | None:
    found = side.provenance.crop if side.provenance else None
    if isinstance(side.source, ImageSource):
        found, _ = side.source.source.preparation
    return None if found == "none" else found


def width_of(side: Side, protocol: Protocol) -> int:
    """Return the number of features per sample of one side."""
    if isinstance(side.source, FeatureSource):
        return side.source.width
    known = [m for name, m in side.moments.items() if SCORABLE[name].family.needs == "features"]
    if side.source is None and known:
        return len(known[0][0])
    return extractor_named(protocol.extractor).dim


def _maker(side: Side, protocol: Protocol) -> str | None:
    """Return the extractor and weights of one side, or None where a file does not say."""
    if isinstance(side.source, FeatureSource):
        known = side.provenance
        return f"{known.extractor}@{known.weights[:8]}" if known else None
    if side.source is None:
        return None
    weights = extractor_digest(extractor_named(protocol.extractor))
    return f"{protocol.extractor}@{weights[:8]}"


# ---------------------------------------------------------------- warnings


def warnings_of(
    made: Side,
    real: Side | None,
    protocol: Protocol,
    wanted: Sequence[str],
    *,
    train: Side | None = None,
    beside: Side | None = None,
) -> Iterator[str]:
    """Say what makes a number less than it seems, beside the cautions of its record."""
    count = made.source.count if made.source else 0
    sides = [side for side in (made, real, train) if side is not None]
    paired, trained = _names(wanted, "pair"), _names(wanted, "training")
    fitted = any(family.covariance for family in families_of(wanted))
    pairs = [beside] if beside is not None and paired else []
    for side in sides:
        few = few_samples(side.source.count, width_of(side, protocol)) if side.source else None
        if few and side is not train and fitted:
            yield few if side is made else f"{side.name}: {few}"
    other = unlike_count(protocol, count)
    if other:
        yield other
    for side in (*sides, *pairs):
        if side.left_out:
            yield (
                f"{side.name}: {len(side.left_out)} files are not of a format that is read and are"
                f" left out, such as {side.left_out[0]}"
            )
        yield from (f"{side.name}: {remark}" for remark in side.remarks)
    if real is not None:
        yield from _unlike_ways(made, real, protocol)
    for side in pairs:  # of the same names, so the other side is as lossy
        if side.lossy:
            yield (
                f"{side.name}: {plural(side.lossy, 'image')} of the pairs are jpg or webp files:"
                f" compression changes {', '.join(paired)}"
            )
    if real is not None and train is not None and trained:
        yield from seen_warning(trained[0], real, train)
    for side in sides:
        if isinstance(side.source, FeatureSource) and side.provenance is None:
            yield f"{side.name}: the extractor of these features is unknown"
        if side.source is None:
            yield f"{side.name}: statistics of unknown count and origin are used unchecked"


def _unlike_ways(made: Side, real: Side, protocol: Protocol) -> Iterator[str]:
    if bool(made.lossy) != bool(real.lossy) and (made.images or made.provenance):
        where = made.name if made.lossy else real.name
        yield f"{where} has lossy files and the other side has not: compression changes FID"
    known = real.provenance
    if known and known.protocol != protocol.name:
        yield f"{real.name} was built under {known.protocol}, not {protocol.name}"
    mine, theirs = _crop(made), _crop(real)
    if mine and theirs and mine != theirs:
        yield f"crop is {mine} for samples and {theirs} in {real.name}, as was allowed"
    count = real.source.count if real.source else 0
    partly = listed(row for row in SCORABLE.values() if row.family.part == "neighbour_count")
    if isinstance(real.source, FeatureSource) and count > (protocol.neighbour_count or count):
        yield (
            f"{real.name}: {partly} take the first"
            f" {protocol.neighbour_count:,} of {count:,} rows, in the order of the file"
        )
