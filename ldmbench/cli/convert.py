"""`ldmbench convert`: any loadable model as a diffusers folder with safetensors, checked."""

from __future__ import annotations

from pathlib import Path

import click

from ldmbench.cli.options import json_option, print_json


@click.command()
@click.argument("model")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="The checkpoint's config YAML.")
@click.option("--ema/--no-ema", default=True, show_default=True, help="Take averaged weights.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="Of a prompted checkpoint.")
@json_option
def convert(
    model: str, out: Path, config: Path | None, ema: bool, tokenizer: Path | None, as_json: bool
) -> None:
    """Write MODEL (a checkpoint, a folder, a hub id) to the diffusers folder OUT.

    The folder appears only if its encode, decode and denoiser agree with the source's to 1e-5.

    \b
    Examples:
      ldmbench convert celeba256/model.ckpt ./celeba256-diffusers
      ldmbench convert model.ckpt ./raw --config config.yaml --no-ema
    """
    from ldmbench.models.convert import convert as write  # these import torch
    from ldmbench.models.diffusers.writer import pipeline_of
    from ldmbench.models.loader import load

    source = load(model, config=config, ema=ema, tokenizer=tokenizer)
    folder = write(source, out)
    info, pipeline = source.info, pipeline_of(source)
    own = pipeline == "DiffusionPipeline"
    kind = "ldmbench's own folder, which load takes" if own else f"diffusers' {pipeline}"
    fields = {
        "folder": str(folder),
        "source": info.source,
        "pipeline": None if own else pipeline,
        "digest": info.digest,
        "weights": info.weights,
        "f": info.f,
        "conditioning": info.conditioning,
        "parameters": info.parameters,
        "quantize": info.quantize,
        "timesteps": info.timesteps,
    }
    if as_json:
        print_json(fields)
        return
    click.echo(str(folder))
    click.echo(
        f"{info.source}, {info.weights} weights, f = {info.f}, {info.parameters:,} parameters,"
        f" conditioning {info.conditioning}: outputs agree; written as {kind}",
        err=True,
    )
