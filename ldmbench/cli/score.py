"""`ldmbench score`: images that came from anywhere, against real ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from ldmbench.canonical import digest_file
from ldmbench.catalog import METRICS, PROTOCOLS, STATISTICS
from ldmbench.cli.given import Given, given, put_features, side_of, with_prompts
from ldmbench.cli.options import json_option, opened, print_json, say, store_option
from ldmbench.cli.progress import Watch
from ldmbench.errors import InputError, StageError, UnlikeError
from ldmbench.execute.devices import devices
from ldmbench.execute.local import execute
from ldmbench.plan.build import protocol_named
from ldmbench.plan.score import (
    PAIRED,
    FeatureSource,
    ImageSource,
    build_score_plan,
    families_of,
)
from ldmbench.records.book import write_text
from ldmbench.records.collect import collect_record
from ldmbench.registry import pick, resolve
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.record import Record, Score
from ldmbench.schema.stage import Plan, Stage
from ldmbench.schema.weights import extractor_named, weights_named
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of

DEFAULT = ("fid", "kid", "precision", "recall")
SCORABLE = {name: row for name, row in METRICS.items() if name != "rfid"}


@click.command()
@click.argument("images")
@click.option("--reference", required=True, metavar="REF", help="Real images, or what was built.")
@click.option("--protocol", "named", default="shapes-v1", show_default=True, metavar="P")
@click.option("--metrics", default="", metavar="M,...", help="Unless told: what the input allows.")
@click.option("--prompts", type=click.Path(path_type=Path), help='JSONL: {"file", "text"} a line.')
@click.option("--pairs", metavar="FOLDER", help="Images of the same names, for psnr and ssim.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A record.")
@store_option
@json_option
def score(
    images: str,
    reference: str,
    named: str,
    metrics: str,
    prompts: Path | None,
    pairs: str | None,
    output: Path | None,
    store: Path,
    as_json: bool,
) -> None:
    """Score IMAGES: a folder, zip, npz of images (arr_0) or of features.

    REF is a folder, zip or npz too, a reference that `ldmbench reference build` wrote, statistics
    (npz with mu and sigma), or shapes:RESOLUTION[:COUNT] for the embedded data.

    \b
    Examples:
      ldmbench score samples/ --reference shapes:64:5000
      ldmbench score samples.zip --reference ffhq.npz --protocol clean-fid --metrics fid,kid
      ldmbench score samples/ --reference real/ --prompts prompts.jsonl --metrics clip_score
    """
    protocol = protocol_named(pick({n: n for n in PROTOCOLS}, named, "protocol"))
    made = given(images, protocol, store=store)
    real = given(reference, protocol, store=store, side=side_of(made))
    beside = given(pairs, protocol, store=store, side=side_of(made)) if pairs else None
    wanted = _wanted(metrics, made, real, beside, prompts)
    _check(made, real, beside, protocol, wanted)
    disk = opened(store)
    if prompts:
        folder = with_prompts(made, prompts, disk)
        made = replace(given(str(folder), protocol, store=store), name=made.name)
    if "clip_score" in wanted and made.captions < len(made.images):
        raise InputError(
            f"{images}: {made.captions} of {len(made.images)} images have a caption; put one in a"
            " .txt beside each, or give --prompts FILE"
        )
    warnings = list(_warnings(made, real, protocol))
    record = _scored(made, real, beside, protocol, wanted, disk, quiet=as_json)
    if output:
        write_text(output, record.model_dump_json() + "\n")
    _show(record, warnings, as_json=as_json)


def _wanted(
    metrics: str, made: Given, real: Given, beside: Given | None, prompts: Path | None
) -> tuple[str, ...]:
    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    for name in names:
        pick(SCORABLE, name, "metric")
    if names:
        return tuple(dict.fromkeys(names))
    base = DEFAULT if real.source else ("fid",)
    return (*base, *(PAIRED if beside else ()), *(("clip_score",) if prompts else ()))


def _check(
    made: Given, real: Given, beside: Given | None, protocol: Protocol, wanted: Sequence[str]
) -> None:
    """Refuse what cannot be scored, or would mean nothing, before anything runs.

    Raises:
        InputError: what is missing or too few.
        UnlikeError: naming what samples and reference do not share.
    """
    families = families_of(wanted)
    if made.source is None:
        raise InputError(f"{made.name}: holds statistics; give images or features to be scored")
    if isinstance(made.source, FeatureSource):
        if {"clip", "pairs"} & set(families):
            raise InputError(f"{made.name}: holds features; clip_score, psnr and ssim need images")
        if "logits" in families and not made.source.logits:
            raise InputError(f"{made.name}: has no logits; inception_score needs them")
    if "pairs" in families:
        _check_pairs(made, beside)
    if "neighbours" in families and real.source is None:
        raise InputError(f"{real.name}: holds mu and sigma alone; only fid can be had from it")
    if {"moments", "neighbours"} & set(families):
        _check_counts(made, real, protocol, families)
        _check_alike(made, real, protocol)


def _check_pairs(made: Given, beside: Given | None) -> None:
    if beside is None or not isinstance(beside.source, ImageSource):
        raise InputError("psnr and ssim need --pairs FOLDER with images of the same names")
    lost = sorted(set(made.images) ^ set(beside.images))
    if lost:
        raise InputError(
            f"{beside.name}: {len(lost)} images are on one side only, such as {lost[0]}; pairs"
            " have the same names"
        )


def _check_counts(made: Given, real: Given, protocol: Protocol, families: Sequence[str]) -> None:
    least = protocol.k + 1 if "neighbours" in families else 2
    for side in (made, real):
        count = side.source.count if side.source else least
        if count < least:
            raise InputError(
                f"{side.name}: {count} found, at least {least} are needed"
                + (f" (k = {protocol.k})" if least > 2 else "")
            )


def _check_alike(made: Given, real: Given, protocol: Protocol) -> None:
    mine, theirs = side_of(made), side_of(real)
    if mine and theirs and mine != theirs:
        raise UnlikeError(
            f"samples are {mine} x {mine} pixels, the reference {real.name} {theirs} x {theirs};"
            " prepare both alike: the resolution changes the features"
        )
    first, second = _width(made, protocol), _width(real, protocol)
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


def _width(side: Given, protocol: Protocol) -> int:
    if isinstance(side.source, FeatureSource):
        return side.source.width
    if side.source is None and side.moments:
        return len(side.moments[0])
    return extractor_named(protocol.extractor).dim


def _moments_fit(made: Given, real: Given, protocol: Protocol) -> bool:
    """Tell whether a file's statistics are of features as wide as those asked for."""
    return real.moments is not None and len(real.moments[0]) == _width(made, protocol)


def _maker(side: Given, protocol: Protocol) -> str | None:
    """Return the extractor and weights of one side, or None where a file does not say."""
    if isinstance(side.source, FeatureSource):
        known = side.provenance
        return f"{known.extractor}@{known.weights[:8]}" if known else None
    if side.source is None:
        return None
    weights = weights_named(extractor_named(protocol.extractor).weights)
    return f"{protocol.extractor}@{weights.short}"


def _warnings(made: Given, real: Given, protocol: Protocol) -> Iterator[str]:
    """Say what makes a number less than it seems."""
    count, width = (made.source.count if made.source else 0), _width(made, protocol)
    if count <= width:
        yield (
            f"n = {count} samples for {width} features: the covariance is rank-deficient and the"
            " FID biased upward; compare only with the same n"
        )
    if protocol.count and count != protocol.count:
        yield f"{protocol.name} asks for n = {protocol.count:,}; this is n = {count:,}"
    if bool(made.lossy) != bool(real.lossy) and (made.images or made.provenance):
        where = made.name if made.lossy else real.name
        yield f"{where} has lossy files and the other side has not: compression alone moves FID"
    for side in (made, real):
        if isinstance(side.source, FeatureSource) and side.provenance is None:
            yield f"{side.name}: nothing says what extractor made these features"
        if side.source is None:
            yield f"{side.name}: statistics without a count or provenance are taken as they are"
    known = real.provenance
    if known and known.protocol != protocol.name:
        yield f"{real.name} was built under {known.protocol}, not {protocol.name}"
    if known and isinstance(made.source, ImageSource):
        crop = str(made.source.source["crop"])
        if crop not in ("none", known.crop):
            yield f"samples are cropped by {crop}, the reference by {known.crop}"


# ---------------------------------------------------------------- running


def _scored(
    made: Given,
    real: Given,
    beside: Given | None,
    protocol: Protocol,
    wanted: Sequence[str],
    disk: Store,
    *,
    quiet: bool,
) -> Record:
    assert made.source is not None
    by_moments = "fid" in wanted and _moments_fit(made, real, protocol)
    planned = [name for name in wanted if not (by_moments and name == "fid")]
    target = ["inception_score"] if by_moments and not planned else []  # features alone never run
    if isinstance(made.source, FeatureSource) and not made.source.logits:
        target = []
    pairs = beside.source if beside and isinstance(beside.source, ImageSource) else None
    plan = build_score_plan(
        made.source, real.source, protocol, metrics=[*planned, *target], pairs=pairs
    )
    failed: dict[str, str] = {}
    if plan.stages:
        failed = _run(plan, (made, real), disk, quiet=quiet)
    elif by_moments:
        plan = build_score_plan(made.source, None, protocol, metrics=["inception_score"])
        put_features(made, plan.by_key(), disk)
    record = collect_record(plan.cells[0], plan, disk, run="score", failed=failed)
    if record.status == "failed" and plan.metrics and failed:
        raise StageError(f"{made.name}: {record.reason}")
    scores = [_signed(s) for s in record.scores if s.name in wanted]
    if by_moments:
        scores.insert(0, _from_statistics(made, real, protocol, plan, disk))
    return record.model_copy(update={"scores": tuple(scores), "status": "done", "reason": None})


def _run(plan: Plan, sides: Sequence[Given], disk: Store, *, quiet: bool) -> dict[str, str]:
    for side in sides:
        if any(s.params.get("file") == getattr(side.source, "digest", 0) for s in plan.stages):
            put_features(side, plan.by_key(), disk)
    with Watch(quiet=quiet) as watch:
        result = execute(plan, disk, devices=devices(), listener=watch, log=disk.root / "score.log")
    return result.failed


def _signed(found: Score) -> Score:
    """How foreign samples became uint8 is not known."""
    return found.model_copy(
        update={"signature": found.signature.replace("|quant:round", "|quant:given")}
    )


def _from_statistics(
    made: Given, real: Given, protocol: Protocol, plan: Plan, disk: Store
) -> Score:
    """Return FID against moments, which the scores stage does not read."""
    assert real.moments is not None
    stage = next(s for s in plan.stages if s.kind == "features")
    features = _rows(stage, disk)
    moments: Any = resolve(STATISTICS["moments"])
    family: Any = resolve(STATISTICS["fid"])
    found = family(features, moments(2, *real.moments), confidence=protocol.confidence)["fid"]
    weights = str(stage.params["weights"])[:8]
    ref = f"{Path(real.name).stem}@{digest_file(Path(real.name))[:8]}"
    return Score(
        name="fid",
        value=float(found.value),
        low=found.low,
        high=found.high,
        confidence=found.confidence,
        n=len(features),
        method=found.method,
        signature=f"fid|v1|feat:{stage.params['extractor']}@{weights}|ref:{ref}|n:{len(features)}"
        "|m:statistics|quant:given|dtype:f32",
        protocol=protocol.name,
    )


def _rows(stage: Stage, disk: Store) -> Any:
    folders = [disk.folder(unit.address) for unit in units_of(stage)]
    parts = [np.load(f / "features.npy", allow_pickle=False) for f in folders]
    return np.concatenate(parts)[: stage.count]


def _show(record: Record, warnings: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        scores = [s.model_dump(mode="json", exclude={"replicates"}) for s in record.scores]
        print_json({"scores": scores, "warnings": list(warnings)})
        return
    for found in record.scores:
        value = "-" if found.value is None else f"{found.value:.6g}"
        ends = "" if found.low is None else f"[{found.low:.4g}, {found.high:.4g}]"
        click.echo(f"{found.name:<16} {value:>12}  {ends:<24} n {found.n}")
        click.echo(f"                 {found.signature}")
        if found.reason:
            click.echo(f"                 {found.reason}")
    for text in warnings:
        say(f"warning: {text}")
