"""`ldmbench score`: images that came from anywhere, against real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ldmbench.cli.bring import captions_of, check_captions, put_features, with_prompts
from ldmbench.cli.given import Given, first, given, has_size, ruled, side_of
from ldmbench.cli.likeness import check, wanted_of, warnings_of
from ldmbench.cli.options import (
    Whole,
    dataset_option,
    json_option,
    opened,
    print_json,
    resolution_option,
    say,
    store_option,
)
from ldmbench.cli.progress import Watch
from ldmbench.cli.statistics import statistics_of
from ldmbench.cli.weights import require_weights
from ldmbench.errors import InputError, StageError
from ldmbench.execute.devices import devices
from ldmbench.execute.execution import Result
from ldmbench.execute.local import execute
from ldmbench.plan.captions import caption_cautions
from ldmbench.plan.names import names_of
from ldmbench.plan.score import ImageSource, build_score_plan
from ldmbench.records.book import write_output
from ldmbench.records.collect import collect_record
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.record import Record, Score
from ldmbench.schema.stage import Plan
from ldmbench.store.disk import Store
from ldmbench.suite.protocols import protocol_named


@click.command()
@click.argument("images")
@click.option("--reference", metavar="REF", help="Real images, or what was built of them.")
@click.option("--train", metavar="TRAIN", help="What the model saw: memorization.")
@click.option(
    "--protocol",
    "named",
    default=("shapes-v1",),
    show_default="shapes-v1",
    multiple=True,
    metavar="P,...",
    help="Score the same samples under each; repeatable.",
)
@dataset_option
@resolution_option
@click.option("--metrics", default="", metavar="M,...", help="Unless told: what the input allows.")
@click.option("--prompts", type=click.Path(path_type=Path), help='JSONL {"file", "text"}, or .txt.')
@click.option("--pairs", metavar="FOLDER", help="Images of the same names: psnr, ssim, lpips.")
@click.option(
    "--count", type=Whole(1), metavar="N", help="The first N of IMAGES, in the order of names."
)
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["crop"]),
    help="Score although samples and reference were cropped by different rules.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A record.")
@store_option
@json_option
def score(
    images: str,
    reference: str | None,
    train: str | None,
    named: tuple[str, ...],
    dataset: str | None,
    resolution: int | None,
    metrics: str,
    prompts: Path | None,
    pairs: str | None,
    count: int | None,
    allow: tuple[str, ...],
    output: Path | None,
    store: Path,
    as_json: bool,
) -> None:
    """Score IMAGES: a folder, zip, npz of images (arr_0) or of features.

    REF is a folder, zip or npz too, a reference that `ldmbench reference build` wrote, statistics
    (npz with mu and sigma), or shapes:RESOLUTION[:COUNT] for the embedded data. TRAIN is the
    same; memorization holds samples to it, with REF as images that the model did not see.

    \b
    Examples:
      ldmbench score samples/ --reference shapes:64:5000
      ldmbench score x.zip --reference ffhq.npz --protocol clean-fid --metrics fid
      ldmbench score samples/ --pairs originals/ --metrics psnr,ssim,lpips
      ldmbench score samples/ --prompts prompts.jsonl --metrics clip_score
      ldmbench score samples/ --reference real/ --protocol shapes-v1,clean-fid --count 5000
      ldmbench score samples/ --train seen/ --reference unseen/ --metrics memorization
    """
    names = [name.strip() for text in named for name in text.split(",") if name.strip()]
    protocols = [ruled(protocol_named(name), dataset) for name in dict.fromkeys(names)]
    if not protocols:
        raise InputError("--protocol: found no name; `ldmbench list protocols` has them")
    asked = [
        _asked(
            protocol,
            images=images,
            reference=reference,
            train=train,
            pairs=pairs,
            prompts=prompts,
            metrics=metrics,
            resolution=resolution,
            count=count,
            allow=allow,
            store=store,
        )
        for protocol in protocols
    ]
    disk = opened(store)
    record = _joined([_scored(one, disk, quiet=as_json) for one in asked])
    if output:
        write_output(output, record.model_dump_json() + "\n")
    _show(record, as_json=as_json)


@dataclass(frozen=True)
class _Asked:
    """What is scored under one protocol: the sides that it prepares, and what to warn of."""

    protocol: Protocol
    made: Given
    real: Given | None
    train: Given | None
    beside: Given | None
    wanted: tuple[str, ...]
    warnings: tuple[str, ...]


def _asked(
    protocol: Protocol,
    *,
    images: str,
    reference: str | None,
    train: str | None,
    pairs: str | None,
    prompts: Path | None,
    metrics: str,
    resolution: int | None,
    count: int | None,
    allow: tuple[str, ...],
    store: Path,
) -> _Asked:
    """Look at all that was typed, and refuse what cannot be scored under a protocol."""
    real = given(reference, protocol, store=store) if reference and has_size(reference) else None
    made = given(images, protocol, store=store, raw=resolution or (side_of(real) if real else None))
    pixels = side_of(made) or resolution
    if reference and real is None:
        real = given(reference, protocol, store=store, side=pixels)
    seen = given(train, protocol, store=store, side=pixels, split="train") if train else None
    beside = given(pairs, protocol, store=store, side=pixels) if pairs else None
    whole = made
    if count is not None:
        made, beside = first(made, count), first(beside, count) if beside else None
    wanted = wanted_of(metrics, real, beside, prompts, seen)
    if not wanted:
        raise InputError("Missing option '--reference': give real images, --pairs or --prompts")
    check(made, real, beside, protocol, wanted, train=seen, allowed=allow)
    if prompts:
        made = with_prompts(whole, prompts, opened(store), count=count)
        made = made if count is None else first(made, count)
    for side in filter(None, (made, real, seen, beside)):
        check_captions(side, needed=side is made and "clip_score" in wanted)
    warnings = [*warnings_of(made, real, protocol, wanted, train=seen, beside=beside)]
    if whole.source and made.source and made.source.count < whole.source.count:
        part = f"the first {made.source.count:,} of {whole.source.count:,}, in the order of names"
        warnings.append(f"{images}: {part}")
    if "clip_score" in wanted:
        prompted = captions_of(made)
        what = f"the {len(prompted):,} captions of {made.name}"
        warnings += caption_cautions(prompted, protocol.clip, what)
    if resolution not in (None, pixels):
        warnings.append(f"{images}: scored at {pixels} pixels, not at --resolution {resolution}")
    return _Asked(protocol, made, real, seen, beside, wanted, tuple(warnings))


def _joined(records: Sequence[Record]) -> Record:
    """Return one record of the same samples under several protocols, the first one's cell."""
    whole = records[0]
    stages = {role: key for record in records for role, key in record.cell.stages.items()}
    told = {
        "cell": whole.cell.model_copy(update={"stages": stages}),
        "scores": tuple(score for record in records for score in record.scores),
        "warnings": tuple(dict.fromkeys(text for r in records for text in r.warnings)),
        "keys": {role: key for record in records for role, key in record.keys.items()},
    }
    return whole.model_copy(update=told)


def _scored(asked: _Asked, disk: Store, *, quiet: bool) -> Record:
    protocol, made, wanted = asked.protocol, asked.made, asked.wanted
    real, train, beside = asked.real, asked.train, asked.beside
    assert made.source is not None
    plan = build_score_plan(
        made.source,
        real.source if real else None,
        protocol,
        metrics=wanted,
        train=train.source if train else None,
        pairs=beside.source if beside and isinstance(beside.source, ImageSource) else None,
        statistics=statistics_of(made, real, protocol, wanted),
    )
    require_weights(plan, disk)
    result = _run(plan, [side for side in (made, real, train) if side], disk, quiet=quiet)
    record = collect_record(plan.cells[0], plan, disk, run="score", failed=result.failed)
    if record.status == "failed":
        raise (InputError if result.wrong else StageError)(f"{made.name}: {record.reason}")
    scores = [_signed(s) for s in record.scores if s.name in wanted]
    order = {name: place for place, name in enumerate(wanted)}
    scores.sort(key=lambda found: order[found.name])
    told = tuple(dict.fromkeys([*record.warnings, *asked.warnings]))
    return record.model_copy(update={"scores": tuple(scores), "warnings": told})


def _run(plan: Plan, sides: Sequence[Given], disk: Store, *, quiet: bool) -> Result:
    for side in sides:
        put_features(side, plan.by_key(), disk)
    with Watch(names_of(plan), quiet=quiet) as watch:
        return execute(plan, disk, devices=devices(), listener=watch, log=disk.root / "score.log")


def _signed(found: Score) -> Score:
    """How foreign samples became uint8 is not known."""
    return found.model_copy(
        update={"signature": found.signature.replace("|quant:round", "|quant:given")}
    )


def _show(record: Record, *, as_json: bool) -> None:
    if as_json:
        scores = [s.model_dump(mode="json", exclude={"replicates"}) for s in record.scores]
        print_json({"scores": scores, "warnings": list(record.warnings)})
        return
    for found in record.scores:
        value = "-" if found.value is None else f"{found.value:.6g}"
        ends = "" if found.low is None else f"[{found.low:.4g}, {found.high:.4g}]"
        click.echo(f"{found.name:<16} {value:>12}  {ends:<24} n {found.n}")
        if len({score.protocol for score in record.scores}) > 1:
            click.echo(f"                 under {found.protocol}")
        click.echo(f"                 {found.signature}")
        if found.reason:
            click.echo(f"                 {found.reason}")
    for text in record.warnings:
        say(f"warning: {text}")
