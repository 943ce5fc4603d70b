"""`export`: a model that a suite trained, as the folder that `load` and diffusers read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ldmbench.models.autoencoder import load_first_stage
from ldmbench.models.convert import convert
from ldmbench.models.diffusers.writer import pipeline_of
from ldmbench.models.trained import load_trained
from ldmbench.tensors.numerics import numerics

__all__ = ["Written", "export_first_stage", "export_model"]


class Written(NamedTuple):
    """What was written.

    Attributes:
        weights: ema or raw.
        pipeline: diffusers' class that loads the folder, or None where it has none.
        parameters: of all networks.
    """

    weights: str
    pipeline: str | None
    parameters: int


def export_model(
    autoencoder: Path, denoiser: Path, out: Path, *, raw: bool, origin: Mapping[str, Any]
) -> Written:
    """Write the model of two artefacts as one diffusers folder, checked against itself.

    Args:
        autoencoder: the artefact of its first stage.
        denoiser: that of its denoiser, or one of its kept checkpoints.
        out: the folder; must not exist, or be empty.
        raw: weights that are not averaged.
        origin: what ldmbench.json says of where it comes from.

    Raises:
        InputError: the folder is in use, or there are no raw weights.
    """
    numerics()
    model = load_trained(autoencoder, denoiser, ema=not raw)
    convert(model, out, origin=dict(origin))
    pipeline = pipeline_of(model)
    known = None if pipeline == "DiffusionPipeline" else pipeline
    return Written(model.info.weights, known, model.info.parameters)


def export_first_stage(autoencoder: Path, out: Path, *, origin: Mapping[str, Any]) -> Written:
    """Write the first stage of an artefact as a folder of diffusers, checked against itself.

    Args:
        autoencoder: the artefact.
        out: the folder; must not exist, or be empty.
        origin: what ldmbench.json says of where it comes from.

    Raises:
        InputError: the folder is in use.
    """
    numerics()
    model = load_first_stage(autoencoder)
    convert(model, out, origin=dict(origin))
    name = type(model.first_stage.network).__name__
    return Written(model.info.weights, name, model.info.parameters)
