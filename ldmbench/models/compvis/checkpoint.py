"""CompVis/latent-diffusion checkpoints: first stages and LDMs of the whole zoo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest, digest_file
from ldmbench.errors import InputError
from ldmbench.models.compvis.adm import load_adm
from ldmbench.models.compvis.autoencoder import first_stage
from ldmbench.models.compvis.condition import build_condition
from ldmbench.models.compvis.parts import check_parts
from ldmbench.models.compvis.unet import build_unet
from ldmbench.models.first_stage import STAGES, FirstStage, Identity
from ldmbench.models.model import Info, Model, info_of
from ldmbench.models.weights import Tensors, select
from ldmbench.schema.models import ModelFacts
from ldmbench.sources.models.adm_config import is_adm
from ldmbench.sources.models.checkpoint import look, marked
from ldmbench.sources.models.compvis_config import (
    class_of,
    config_digest,
    geometry,
    params_of,
    read_config,
)
from ldmbench.sources.models.compvis_plan import UNetPlan, plan_unet
from ldmbench.sources.models.compvis_process import latent_scale, read_schedule
from ldmbench.sources.models.compvis_rules import FIRST_STAGES, check_model, clips, files_beside
from ldmbench.sources.models.config_kinds import values_of
from ldmbench.sources.models.peek import describe_checkpoint
from ldmbench.tensors.entries import Held, open_weights
from ldmbench.tensors.read import fetch

__all__ = ["load_checkpoint"]


@dataclass(frozen=True)
class _Checkpoint:
    """One file, read: its tensors, the params of its config, and what was asked."""

    path: Path
    name: str
    params: dict[str, Any]
    tensors: Tensors
    held: Held
    facts: ModelFacts
    identity: str
    tokenizer: Any
    statistics: Path | None

    @property
    def where(self) -> str:
        return str(self.path)


def load_checkpoint(
    path: Path,
    *,
    config: Path | str | Mapping[str, object] | None = None,
    ema: bool = True,
    ignore: Sequence[str] = (),
    tokenizer: object = None,
) -> Model:
    """Load a checkpoint file and the config beside it.

    Args:
        path: .ckpt, .pt, .pth, .bin or .safetensors.
        config: its YAML file or content; None looks beside it.
        ema: take the averaged weights where the checkpoint has them.
        ignore: patterns of tensors' names to leave out.
        tokenizer: of text models, see `load`.

    Raises:
        InputError: the config is unknown, does not fit the weights, or the file is unsafe.
    """
    content = read_config(config, path)
    held = look(path, content, ema=ema, ignore=ignore)
    facts = describe_checkpoint(content, held)
    tensors = fetch(path, held.slots)
    named = {"weights": digest_file(path), "config": config_digest(config, path)}
    beside = {name: digest_file(file) for name, file in files_beside(content, path).items()}
    identity = digest(named | beside)
    tensors |= _first_stage_elsewhere(content, path)
    with values_of(path):
        return _load(content, tensors, held, facts, identity, tokenizer=tokenizer)


def _first_stage_elsewhere(content: dict[str, object], path: Path) -> Tensors:
    """Return the tensors of a first stage that lies in a file of its own; raw, as CompVis does."""
    file = files_beside(content, path).get("first_stage")
    if file is None:
        return {}
    section = params_of(content["model"])["first_stage_config"]
    held = look(file, {"model": section}, ema=False)
    return {f"first_stage_model.{k}": v for k, v in fetch(file, held.slots).items()}


def _load(
    content: dict[str, object],
    tensors: Tensors,
    held: Held,
    facts: ModelFacts,
    identity: str,
    *,
    tokenizer: object,
) -> Model:
    path = held.path
    if is_adm(content):
        return load_adm(content, tensors, facts=facts, path=path, identity=identity)
    name = check_model(content, str(path))
    params = marked(params_of(content["model"]), held)
    statistics = files_beside(content, path).get("statistics")
    found = _Checkpoint(path, name, params, tensors, held, facts, identity, tokenizer, statistics)
    return _load_first_stage(found) if name in FIRST_STAGES else _load_diffusion(found)


def _load_first_stage(found: _Checkpoint) -> Model:
    stage = _stage(FIRST_STAGES[found.name], found.params, found.tensors, where=found.where)
    _, channels, side = geometry(found.params)
    rule = found.facts.latents
    if rule is not None and found.statistics is not None:
        rule = rule.model_copy(update=_statistics(found.statistics, channels))
    return Model(replace(_info(found, (channels, side, side)), latents=rule), stage)


def _statistics(file: Path, channels: int) -> dict[str, tuple[float, ...]]:
    """Return the mean and standard deviation of latents, one number for each channel.

    Raises:
        InputError: the file holds something else.
    """
    stored = fetch(file, open_weights(file).slots)
    named: tuple[str, ...] = tuple(name for name in ("mean", "std") if name in stored)
    found = {name: tuple(stored[name].double().flatten().tolist()) for name in named}
    if len(found) != 2 or any(len(values) != channels for values in found.values()):
        sizes = {name: tuple(values.shape) for name, values in stored.items()}
        raise InputError(f"{file} holds {sizes}; needed are mean and std of {channels} channels")
    return found


def _load_diffusion(found: _Checkpoint) -> Model:
    params, tensors, where = found.params, found.tensors, found.where
    check_parts(tensors, where=where)
    schedule = read_schedule(params, found.held, where=where, clips=clips(found.name, params))
    scale = latent_scale(params, found.held, where=where)
    plan = _plan(params, where)
    channels = int(params.get("channels", plan.out_channels))
    first, stored = select(tensors, "first_stage_model."), select(tensors, "cond_stage_model.")
    if params.get("cond_stage_config") == "__is_first_stage__":
        first = first or stored  # one module under two names; safetensors may keep either
    stage = _inner_stage(params, first, scale, where)
    condition = build_condition(
        params,
        stored,
        plan=plan,
        channels=channels,
        stage=stage,
        scale=scale,
        tokenizer=found.tokenizer,
        path=found.path,
    )
    network = build_unet(plan, select(tensors, "model.diffusion_model."), where=where)
    info = _info(found, (channels, *plan.size), scale=scale, schedule=schedule)
    return Model(info, stage, network=network, condition=condition)


def _info(found: _Checkpoint, shape: tuple[int, int, int], **more: object) -> Info:
    return info_of(found.facts, path=found.path, digest=found.identity, latent_shape=shape, **more)


def _plan(params: Mapping[str, object], where: str) -> UNetPlan:
    unet = params_of(params.get("unet_config"))
    return plan_unet(unet, where=where, size=params.get("image_size"))


def _inner_stage(
    params: Mapping[str, object], tensors: Tensors, scale: float, where: str
) -> FirstStage:
    section = params.get("first_stage_config")
    if section is None:
        return Identity()
    name = class_of(section, where=f"{where}: first_stage_config")
    return _stage(FIRST_STAGES[name], params_of(section), tensors, where=where, scale=scale)


def _stage(
    kind: str, params: Mapping[str, object], tensors: Tensors, *, where: str, scale: float = 1.0
) -> FirstStage:
    if kind == "pixel":
        return Identity()
    network = first_stage(kind, params, tensors, where=where, scale=scale)
    stage: FirstStage = STAGES[kind](network)
    return stage
