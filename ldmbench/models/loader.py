"""`load`: a model from a diffusers folder, a CompVis checkpoint or a hub id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.models.compvis.checkpoint import load_checkpoint
from ldmbench.models.diffusers.folder import load_folder
from ldmbench.models.model import Model
from ldmbench.models.originals.checkpoint import load_original
from ldmbench.models.pipelines.pipeline import load_pipeline
from ldmbench.sources.models.hub import snapshot
from ldmbench.sources.models.originals import is_original
from ldmbench.sources.models.pipelines import is_pipeline
from ldmbench.sources.models.places import SUFFIXES, checkpoint_in, is_folder, is_hub_id
from ldmbench.tensors.numerics import numerics

__all__ = ["load"]


def load(
    path: Path | str,
    *,
    config: Path | str | Mapping[str, Any] | None = None,
    ema: bool = True,
    ignore: Sequence[str] = (),
    tokenizer: Any = None,
    null_class: int | None = None,
    guided_channels: int | None = None,
) -> Model:
    """Load a model, whatever it was trained with; no code of it is run.

    From then on this process computes float32 in float32 on a GPU, too, and not in TensorFloat-32.

    Args:
        path: a diffusers folder (with model_index.json, or a bare autoencoder's config.json), a
            checkpoint of CompVis, guided-diffusion, DiT, SiT, REPA or LightningDiT, a folder that
            holds one, or a hub id (owner/name) when online.
        config: the checkpoint's config (YAML file or its content); None looks beside it.
        ema: take the averaged weights where a checkpoint has them.
        ignore: patterns of names of tensors to leave out of a checkpoint file ("teacher.*"), beyond
            those that only training reads by their names; `info.left_out` has the count.
        tokenizer: of prompt-conditioned checkpoints, which do not hold one: a transformers
            tokenizer, its folder, or its vocab.txt; None looks beside the checkpoint.
        null_class: the label that stands for no class; None is what the files say.
        guided_channels: how many channels of a latent guidance moves, from the first (the others
            stay those of the condition); None is what the source's own scripts guide: three of
            DiT, SiT and LightningDiT, all of others.

    Returns:
        The model behind the one interface: encode, decode, eps, sample, info.

    Raises:
        InputError: nothing loadable is there, config and weights do not fit, or a pickle would
            have to execute code.
    """
    numerics()
    found = _load(path, config=config, ema=ema, ignore=ignore, tokenizer=tokenizer)
    return found.with_guidance(null_class=null_class, guided_channels=guided_channels)


def _load(
    path: Path | str,
    *,
    config: Path | str | Mapping[str, Any] | None,
    ema: bool,
    ignore: Sequence[str],
    tokenizer: Any,
) -> Model:
    place = Path(path)
    if is_folder(place):
        if ignore:
            raise InputError(f"{place} is a diffusers folder; `ignore` is for checkpoint files")
        if is_pipeline(place):
            return load_pipeline(place)
        return load_folder(place, ema=ema, tokenizer=tokenizer)
    if place.is_dir():
        place = checkpoint_in(place, ema=ema)
    if place.exists():
        if place.suffix not in SUFFIXES:
            raise InputError(
                f"{place} is no checkpoint by its name; allowed are {', '.join(SUFFIXES)}"
            )
        if is_original(place):
            return load_original(place, config=config, ema=ema, ignore=ignore)
        return load_checkpoint(place, config=config, ema=ema, ignore=ignore, tokenizer=tokenizer)
    if is_hub_id(str(path)):
        found = snapshot(str(path))
        return _load(found, config=config, ema=ema, ignore=ignore, tokenizer=tokenizer)
    raise InputError(
        f"{path} is not there; give a diffusers folder, a checkpoint file or a hub id (owner/name)"
    )
