"""`ldmbench score`: images that came from anywhere, against real ones."""

from __future__ import annotations

from pathlib import Path

import click

from ldmbench.catalog.metrics import names_against
from ldmbench.cli.options import (
    Whole,
    dataset_option,
    json_option,
    print_json,
    resolution_option,
    say,
    store_option,
)
from ldmbench.cli.progress import Watch
from ldmbench.cli.weights import require_weights
from ldmbench.records.runs import write_output
from ldmbench.schema.record import Record
from ldmbench.scoring.request import Request
from ldmbench.scoring.run import score_request


@click.command()
@click.argument("images")
@click.option(
    "--reference", metavar="REF", help="Real images, features, statistics or a built reference."
)
@click.option("--train", metavar="TRAIN", help=f"Training images, for {names_against('training')}.")
@click.option(
    "--validation",
    metavar="VAL",
    help=f"Real images that no model saw, whose distance {names_against('validation')} divides by.",
)
@click.option(
    "--protocol",
    "named",
    default=("shapes-v1",),
    show_default="shapes-v1",
    multiple=True,
    metavar="P,...",
    help="Names, or files such as ./mine.yaml; the same samples under each; repeatable.",
)
@dataset_option
@resolution_option
@click.option("--metrics", default="", metavar="M,...", help="Default: all that the input allows.")
@click.option("--prompts", type=click.Path(path_type=Path), help='JSONL {"file", "text"}, or .txt.')
@click.option(
    "--pairs", metavar="FOLDER", help=f"Images of the same names: {names_against('pair')}."
)
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
    validation: str | None,
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
    same; memorization needs it, with REF as images that the model did not see. So is
    VAL, as many images as there are samples: fdr divides by their distance to REF.

    \b
    Examples:
      ldmbench score samples/ --reference shapes:64:5000
      ldmbench score x.zip --reference ffhq.npz --protocol clean-fid --metrics fid
      ldmbench score samples/ --pairs originals/ --metrics psnr,ssim,lpips
      ldmbench score samples/ --prompts prompts.jsonl --metrics clip_score
      ldmbench score samples/ --reference real/ --protocol shapes-v1,clean-fid --count 5000
      ldmbench score samples/ --reference real/ --protocol ./mine.yaml
      ldmbench score samples/ --train seen/ --reference unseen/ --metrics memorization
      ldmbench score samples/ --reference real/ --validation unseen/ --metrics fdr
    """
    request = Request(
        images,
        reference=reference,
        training=train,
        validation=validation,
        pairs=pairs,
        prompts=prompts,
        protocols=named,
        dataset=dataset,
        resolution=resolution,
        metrics=metrics,
        count=count,
        allowed=allow,
    )
    record = score_request(
        request,
        store,
        before=require_weights,
        watching=lambda plan: Watch(plan, quiet=as_json),
    )
    if output:
        write_output(output, record.model_dump_json() + "\n")
    _show(record, as_json=as_json)


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
