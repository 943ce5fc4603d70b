"""The schedulers of diffusers folders: read by name, and refused where no diffusion has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.models.places import component, read_json
from ldmbench.registry import nearest
from ldmbench.sample import Schedule
from ldmbench.sample.grids import check_spacing

__all__ = ["read_noising", "read_schedule", "scheduler_config"]

_SCHEDULERS = (
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
_CLIPS = ("DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler")


def read_schedule(folder: Path, index: Mapping[str, Any], card: Mapping[str, Any]) -> Schedule:
    """Return the schedule of a pipeline, as the pipeline itself would read it."""
    part = component(index, ("scheduler",)) or "scheduler"
    config = scheduler_config(folder, index, card)
    return _checked(config, folder / part / "scheduler_config.json")


def scheduler_config(
    folder: Path, index: Mapping[str, Any], card: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the scheduler's config of a pipeline, as the pipeline itself would read it."""
    config = _scheduler(folder, component(index, ("scheduler",)) or "scheduler", index)
    if config.get("_class_name") not in _CLIPS:  # the source does not; DDIM's own default would
        config.setdefault("clip_sample", False)
    config |= _patched(str(index.get("_class_name")), config)
    if "timesteps" in card:
        config["timestep_spacing"] = card["timesteps"]
    return config


def _checked(config: Mapping[str, Any], place: Path) -> Schedule:
    """Read a scheduler's config, and refuse one that no diffusion can have."""
    try:
        schedule = Schedule.from_config(config)
        if schedule.spacing is not None:
            check_spacing(schedule.spacing)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    betas = schedule.beta_array()
    if not (len(betas) and np.all((betas >= 0) & (betas <= 1))):
        raise InputError(
            f"{place}: a schedule needs at least one timestep and betas in [0, 1], found "
            f"{len(betas)} from {schedule.start} to {schedule.end}"
        )
    return schedule


def _scheduler(folder: Path, part: str, index: Mapping[str, Any]) -> dict[str, Any]:
    """Read a scheduler's config, and refuse those of other processes."""
    place = folder / part / "scheduler_config.json"
    config = read_json(place)
    name = config.get("_class_name") or (index.get(part) or ["", ""])[1]
    if name not in _SCHEDULERS:
        raise InputError(
            f"{place} names '{name}'{nearest(str(name), _SCHEDULERS)}, which is no scheduler of a "
            f"diffusion in betas; supported are: {', '.join(_SCHEDULERS)}"
        )
    return config | {"_class_name": name}


def _patched(pipeline: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Stable Diffusion's pipelines change in an outdated scheduler config."""
    wanted: dict[str, Any] = {}
    if pipeline.startswith("StableDiffusion") and "Upscale" not in pipeline:
        other = "skip_prk_steps" if "Inpaint" in pipeline else "clip_sample"
        wanted = {"steps_offset": 1, other: other == "skip_prk_steps"}
    return {name: value for name, value in wanted.items() if name in config}


def read_noising(folder: Path, part: str, index: Mapping[str, Any]) -> Schedule:
    """Return the schedule of a component such as low_res_scheduler."""
    return _checked(_scheduler(folder, part, index), folder / part / "scheduler_config.json")
