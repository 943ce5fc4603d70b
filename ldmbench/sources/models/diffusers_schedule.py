"""The schedulers of diffusers folders: read by name, and refused where no diffusion has them.

Fields that a config lacks take the source's value and are said; no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sample import Schedule
from ldmbench.sample.flow import Flow
from ldmbench.sample.grids import check_spacing
from ldmbench.sources.models.config_kinds import read_checked
from ldmbench.sources.models.diffusers_classes import ELSEWHERE
from ldmbench.sources.models.places import part_of

__all__ = [
    "FLOW_SCHEDULER",
    "Assumed",
    "Ignored",
    "checked_flow",
    "checked_schedule",
    "read_noising",
    "scheduler_config",
]

FLOW_SCHEDULER = "FlowMatchEulerDiscreteScheduler"
_MOVED = (
    "invert_sigmas",
    "shift_terminal",
    "stochastic_sampling",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_karras_sigmas",
)
"""What else a flow's scheduler may do with its times; no model with a UNet or DiT has it."""

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


_BETAS = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
"""What a diffusers config that leaves them out has meant in every version."""
_OTHER_BETAS = {
    name: {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012}
    for name in (
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
    )
}
"""The same of classes with betas of their own."""
_VARIANCES = ("fixed_large", "fixed_large_log", "fixed_small", "fixed_small_log", "learned",
              "learned_range")  # fmt: skip
_OTHER_PROCESS = {"use_flow_sigmas": (True,), "timestep_type": ("continuous",)}
"""Values by which a scheduler of betas takes times or paths of another process."""
_OWN_STEPS: dict[str, dict[str, object]] = {
    "DDIMParallelScheduler": {"set_alpha_to_one": True},
    "DDIMScheduler": {"set_alpha_to_one": True},
    "DDPMParallelScheduler": {"variance_type": "fixed_small"},
    "DDPMScheduler": {"variance_type": "fixed_small"},
}
"""Defaults of the classes that change samples, but that other samplers do not take over."""
_NO_OFFSET = ("DPMSolverSinglestepScheduler",)


class Assumed(NamedTuple):
    """A fact that a config does not state.

    Attributes:
        field: its name there.
        value: what was taken.
        file: that does not state it.
        why: whose value it is.
        today: what the class of today would have taken.
    """

    field: str
    value: Any
    file: str
    why: str
    today: object = None

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"{self.file} does not state {self.field}: {self.value} was taken, {self.why}"


class Ignored(Assumed):
    """A fact that a config states, and that the model's own pipeline does not use."""

    __slots__ = ()

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"{self.file} states {self.field} = {self.value}, which is not used, {self.why}"


class Contradicted(Assumed):
    """A fact that two files state unlike each other."""

    __slots__ = ()

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"{self.file} names another {self.field}: {self.value} was taken, {self.why}"


def scheduler_config(
    place: Path,
    index: Mapping[str, object],
    card: Mapping[str, object],
    *,
    pipeline: str,
    latent: bool,
) -> tuple[dict[str, object], tuple[Assumed, ...]]:
    """Return the scheduler's config as the pipeline itself would read it, and what was taken.

    Args:
        place: the config.
        index: the pipeline's.
        card: of a folder that ldmbench wrote.
        pipeline: its class.
        latent: whether there is a first stage.
    """
    if not place.is_file() and "flow" in card:
        return {}, ()
    written = _scheduler(place, index, also=(FLOW_SCHEDULER,))
    other = _class_of_index(written, index, place)
    written = written | {"_class_name": other[0].value} if other else written
    if written["_class_name"] == FLOW_SCHEDULER:
        config, own = _flow_config(written, place)
        return config, (*other, *own)
    _check_betas_config(written, place)
    config = written | _renamed(written, place)
    taken = list(_unstated(config, pipeline, latent=latent, file=place.name))
    config = {t.field: t.value for t in taken} | config | _patched(pipeline, config)
    if config["_class_name"] not in _CLIPS:  # the source does not; DDIM's own default would
        config.setdefault("clip_sample", False)
    if "timesteps" in card:
        config["timestep_spacing"] = card["timesteps"]
    return config, (*other, *taken, *_own_steps(config, place.name))


def _class_of_index(
    config: Mapping[str, object], index: Mapping[str, Any], place: Path
) -> tuple[Assumed, ...]:
    """Return the class that model_index.json names, where the config names another one.

    diffusers builds the one of model_index.json, of the fields of the config.
    """
    entry = index.get("scheduler")
    named = entry[1] if isinstance(entry, list | tuple) and len(entry) == 2 else None
    stated = config["_class_name"]
    if named in (None, stated) or named not in (*_SCHEDULERS, FLOW_SCHEDULER):
        return ()
    if FLOW_SCHEDULER in (named, stated):
        raise InputError(
            f"{place} names {stated}, but model_index.json names {named}: one is of a flow, the"
            " other of betas; write the class that the model was trained for into both"
        )
    why = f"which model_index.json names and diffusers builds, in place of {stated}"
    return (Contradicted("class", named, place.name, why, today=named),)


def _own_steps(config: Mapping[str, object], file: str) -> tuple[Assumed, ...]:
    """Return what the scheduler's own class takes for its steps, where the config is silent."""
    own = _OWN_STEPS.get(str(config["_class_name"]), {}) | {"steps_offset": 0}
    return tuple(
        Assumed(field, value, file, f"the default of {config['_class_name']}", today=value)
        for field, value in own.items()
        if config.get(field) is None
    )


def _check_betas_config(config: Mapping[str, Any], place: Path) -> None:
    """Refuse fields that contradict each other, or ask for another process."""
    for field, values in _OTHER_PROCESS.items():
        if config.get(field) in values:
            raise InputError(
                f"{place}: {field} = {config[field]} asks for another process than betas, which is"
                f" not supported here; {ELSEWHERE}"
            )
    variance = config.get("variance_type")
    if variance is not None and variance not in _VARIANCES:
        raise InputError(
            f"{place}: variance_type is '{variance}'{nearest(str(variance), _VARIANCES)}; allowed"
            f" are {', '.join(_VARIANCES)}"
        )
    trained, steps = config.get("trained_betas"), config.get("num_train_timesteps")
    if trained is not None and steps is not None and len(trained) != steps:
        raise InputError(
            f"{place}: trained_betas has {len(trained)} betas, but num_train_timesteps is {steps};"
            " needed is one beta for each timestep"
        )


def _renamed(config: Mapping[str, object], place: Path) -> dict[str, object]:
    """Return fields of old versions under their names of today.

    Raises:
        InputError: a config that states both, unlike each other.
    """
    found: dict[str, object] = {}
    if isinstance(config.get("timesteps"), int):  # before diffusers 0.2
        found["num_train_timesteps"] = config["timesteps"]
    if config.get("predict_epsilon") is not None:  # before diffusers 0.9
        found["prediction_type"] = "epsilon" if config["predict_epsilon"] else "sample"
    for name, value in found.items():
        if config.get(name) not in (None, value):
            old = "timesteps" if name == "num_train_timesteps" else "predict_epsilon"
            raise InputError(
                f"{place}: {name} is {config[name]}, but its old name says otherwise ({old} is"
                f" {config[old]}); leave out the wrong one"
            )
    return found


def _unstated(
    config: Mapping[str, object], pipeline: str, *, latent: bool, file: str
) -> Iterator[Assumed]:
    """Yield what a config leaves out, with the source's value."""
    if config.get("trained_betas") is None:
        for field, value in _OTHER_BETAS.get(str(config["_class_name"]), _BETAS).items():
            if field not in config:
                yield Assumed(field, value, file, "diffusers' own", today=_BETAS[field])
    if "num_train_timesteps" not in config and config.get("trained_betas") is None:
        yield Assumed("num_train_timesteps", 1000, file, "diffusers' own", today=1000)
    if config.get("prediction_type") is None:
        why = "as in all folders before diffusers 0.9"
        yield Assumed("prediction_type", "epsilon", file, why, today="epsilon")
    if config["_class_name"] in _CLIPS and "clip_sample" not in config:
        why = (
            "since latents were never clipped at the source"
            if latent
            else "as the source clips pixels"
        )
        yield Assumed("clip_sample", not latent, file, why, today=True)
    offset = _is_stable(pipeline) and config["_class_name"] not in _NO_OFFSET
    if offset and "steps_offset" not in config:
        yield Assumed("steps_offset", 1, file, f"as {pipeline} takes it", today=0)
    painting = config["_class_name"] == "PNDMScheduler" and "Inpaint" in pipeline
    if painting and "skip_prk_steps" not in config:
        yield Assumed("skip_prk_steps", True, file, f"as {pipeline} takes it", today=False)


def checked_schedule(config: Mapping[str, object], place: Path) -> Schedule:
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


def _flow_config(
    written: Mapping[str, object], place: Path
) -> tuple[dict[str, object], tuple[Assumed, ...]]:
    """Return a flow's scheduler config, and what it leaves out."""
    odd = [name for name in _MOVED if written.get(name)]
    if odd:
        raise InputError(
            f"{place}: {FLOW_SCHEDULER} with {', '.join(odd)} is not supported here; supported are"
            f" num_train_timesteps and shift; {ELSEWHERE}"
        )
    own = {"num_train_timesteps": 1000, "shift": 1.0}
    taken = [
        Assumed(name, value, place.name, "diffusers' own", today=value)
        for name, value in own.items()
        if written.get(name) is None
    ]
    return dict(written) | {t.field: t.value for t in taken}, tuple(taken)


def checked_flow(
    config: Mapping[str, Any], card: Mapping[str, Any], place: Path
) -> tuple[Flow, float] | None:
    """Return the flow of a folder, and what its network multiplies times by; None of others.

    Args:
        config: of its scheduler.
        card: of a folder that ldmbench wrote, which states the source's conventions.
        place: of the config.
    """
    if "flow" not in card and config.get("_class_name") != FLOW_SCHEDULER:
        return None
    T = float(config.get("num_train_timesteps", 1.0))
    fields = card.get("flow", {"grid": "scheduler", "shift": config.get("shift", 1.0)})
    try:
        return Flow.of(fields), float(card.get("time_scale", 1.0 if "flow" in card else T))
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def _scheduler(
    place: Path, index: Mapping[str, Any], part: str = "scheduler", *, also: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Read a scheduler's config, and refuse those of other processes."""
    config = read_checked(place, stated=(*_BETAS, "num_train_timesteps"))
    name = config.get("_class_name") or (index.get(part) or ["", ""])[1]
    known = (*_SCHEDULERS, *also)
    if name not in known:
        raise InputError(
            f"{place} names '{name}'{nearest(str(name), known)}, which is no scheduler of a "
            f"diffusion in betas{' or a straight path' if also else ''}; supported are:"
            f" {', '.join(known)}"
        )
    return config | {"_class_name": name}


def _patched(pipeline: str, config: Mapping[str, object]) -> dict[str, object]:
    """Return what Stable Diffusion's pipelines change in an outdated scheduler config."""
    wanted: dict[str, object] = {}
    if _is_stable(pipeline):
        other = "skip_prk_steps" if "Inpaint" in pipeline else "clip_sample"
        wanted = {"steps_offset": 1, other: other == "skip_prk_steps"}
    return {name: value for name, value in wanted.items() if name in config}


def _is_stable(pipeline: str) -> bool:
    return pipeline.startswith("StableDiffusion") and "Upscale" not in pipeline


def read_noising(folder: Path, part: str, index: Mapping[str, object]) -> Schedule:
    """Return the schedule of a component such as low_res_scheduler."""
    place = part_of(folder, part) / "scheduler_config.json"
    return checked_schedule(_scheduler(place, index, part), place)
