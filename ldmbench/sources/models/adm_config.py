"""Flags of guided-diffusion and improved-diffusion, with their defaults; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sample import Schedule
from ldmbench.sources.models.config_kinds import ADM, check_kinds
from ldmbench.sources.models.diffusers_schedule import Assumed

__all__ = ["AdmFlags", "is_adm", "read_flags"]

_MULT = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
}
_IMPROVED_MULT = {256: (1, 1, 2, 2, 4, 4), 64: (1, 2, 3, 4), 32: (1, 2, 2, 2)}
_UPSAMPLER_MULT = {512: (1, 1, 2, 2, 4, 4), 256: (1, 1, 2, 2, 4, 4), 64: (1, 2, 3, 4)}
_CLASSES = 1000
_STEPS = 1000
_GUIDED = ("channel_mult", "num_head_channels", "resblock_updown",
           "use_new_attention_order")  # fmt: skip
"""Flags that guided-diffusion alone has; improved-diffusion alone has sigma_small."""
_SAID: dict[str, object] = {
    "diffusion_steps": _STEPS,
    "noise_schedule": "linear",
    "predict_xstart": False,
}


@dataclass(frozen=True)
class AdmFlags:
    """What flags say, with defaults filled in.

    Attributes:
        source: guided-diffusion or improved-diffusion.
        unet: arguments of its UNetModel.
        size: side of the images.
        channels: of the images; a flag of forks, `in_channels`.
        small: side of the images that an upsampler starts from, or None.
        classes: of its labels, or None.
        schedule: the forward process.
        time_scale: what timesteps are multiplied by before the network sees them.
        taken: what the flags do not state, and what was taken for it.
    """

    source: str
    unet: Mapping[str, Any]
    size: int
    channels: int
    small: int | None
    classes: int | None
    schedule: Schedule
    time_scale: float
    taken: tuple[Assumed, ...]


def is_adm(config: Mapping[str, object]) -> bool:
    """Say whether a config holds such flags."""
    return "model" not in config and any(
        name in config for name in ("image_size", "large_size", "num_channels")
    )


def read_flags(flags: Mapping[str, Any], where: str) -> AdmFlags:
    """Read the flags of a script.

    Args:
        flags: image_size, num_channels, attention_resolutions as image sizes, class_cond,
            learn_sigma, noise_schedule, ...; upsamplers have large_size and small_size in place
            of image_size.
        where: said in messages.

    Raises:
        InputError: a value that cannot be, or flags of which nothing tells whose they are, where
            that matters.
    """
    check_kinds(flags, ADM, where)
    improved = _is_improved(flags)
    flags = {name: value for name, value in flags.items() if value is not None}
    size, small = _sides(flags, where)
    known = _UPSAMPLER_MULT if small is not None else _IMPROVED_MULT if improved else _MULT
    mult = _numbers(flags.get("channel_mult")) or known.get(size)
    if mult is None:
        raise InputError(f"{where}: image size {size} needs channel_mult; known: {list(known)}")
    channels = int(flags.get("in_channels", 3)) if small is None else 3
    learned = bool(flags.get("learn_sigma", False))
    classes = int(flags.get("num_classes") or _CLASSES) if flags.get("class_cond") else None
    attention = _numbers(flags.get("attention_resolutions", "16,8"))
    unet = {
        "image_size": size,
        "in_channels": channels if small is None else 2 * channels,
        "out_channels": 2 * channels if learned else channels,
        "model_channels": int(flags.get("num_channels", 128)),
        "num_res_blocks": int(flags.get("num_res_blocks", 2)),
        "channel_mult": mult,
        "attention_resolutions": [size // int(r) for r in attention if r <= size],
        "num_heads": int(flags.get("num_heads", 4)),
        "num_head_channels": int(flags.get("num_head_channels", -1)),
        "num_heads_upsample": int(flags.get("num_heads_upsample", -1)),
        "num_classes": classes,
        "use_scale_shift_norm": flags.get("use_scale_shift_norm", True),
        "resblock_updown": flags.get("resblock_updown", False),
        "use_new_attention_order": flags.get("use_new_attention_order", False),
        "conv_resample": flags.get("conv_resample", True),
    }
    steps = int(flags.get("diffusion_steps", _STEPS))
    rescaled, assumed = _rescaled(flags, improved, steps, where)
    source = f"{'improved' if improved else 'guided'}-diffusion"
    return AdmFlags(
        source=source,
        unet=unet,
        size=size,
        channels=channels,
        small=small,
        classes=classes,
        schedule=_schedule(flags, steps, learned=learned, where=where),
        time_scale=_STEPS / steps if rescaled else 1.0,
        taken=(*_unsaid(flags, source), *assumed),
    )


def _is_improved(flags: Mapping[str, object]) -> bool | None:
    """Tell whose flags these are by those that one of the two alone has; None: nothing tells."""
    guided = any(name in flags for name in _GUIDED)
    improved = "sigma_small" in flags or (flags.get("image_size") == 32 and not guided)
    return improved if guided != improved else None


def _rescaled(
    flags: Mapping[str, object], improved: bool | None, steps: int, where: str
) -> tuple[bool, tuple[Assumed, ...]]:
    """Return whether the network sees timesteps as of 1000 steps, and what was taken for it."""
    stated = flags.get("rescale_timesteps")
    if stated is not None or steps == _STEPS:  # of 1000 both mean the same
        return bool(stated), ()
    if improved is None:
        raise InputError(
            f"{where}: rescale_timesteps is not stated, and with {steps} diffusion_steps it"
            " matters; write rescale_timesteps: true (improved-diffusion's default) or false"
            " (guided-diffusion's), as the model was trained"
        )
    why = f"the default of {'improved' if improved else 'guided'}-diffusion, whose flags these are"
    return improved, (Assumed("rescale_timesteps", improved, "the config", why, today=False),)


def _unsaid(flags: Mapping[str, Any], source: str) -> tuple[Assumed, ...]:
    why, said = f"the default of {source}", dict(_SAID)
    if not {"image_size", "large_size", "small_size"} & set(flags):
        said["image_size"] = 64
    if int(flags.get("num_head_channels", -1)) == -1:
        said["num_heads"] = 4
    if source == "guided-diffusion":
        said["use_new_attention_order"] = False
    return tuple(
        Assumed(name, value, "the config", why, today=value)
        for name, value in said.items()
        if name not in flags
    )


def _sides(flags: Mapping[str, Any], where: str) -> tuple[int, int | None]:
    """Return the side of the images, and of the small ones that an upsampler starts from."""
    if "large_size" not in flags and "small_size" not in flags:
        return int(flags.get("image_size", 64)), None
    large, small = int(flags.get("large_size", 256)), int(flags.get("small_size", 64))
    if not 0 < small < large:
        raise InputError(
            f"{where}: small_size is {small} and large_size {large}; allowed is a small_size "
            "from 1 up to less than large_size"
        )
    return large, small


def _schedule(flags: Mapping[str, object], T: int, *, learned: bool, where: str) -> Schedule:
    """Return arXiv:2102.09672's schedules; the linear one keeps its ends per 1000 steps."""
    name = flags.get("noise_schedule", "linear")
    kinds: dict[str, Any] = {"linear": "linear", "cosine": "cosine"}
    if name not in kinds:
        raise InputError(f"{where}: noise_schedule '{name}' is not linear or cosine")
    fixed = "fixed_small" if flags.get("sigma_small") else "fixed_large"
    options = {
        "clip_sample": True,
        "set_alpha_to_one": True,
        "steps_offset": 0,
        "use_clipped_model_output": True,  # its DDIM takes the noise from the clipped image
        "variance_type": "learned_range" if learned else fixed,
    }
    return Schedule(
        kind=kinds[name],
        start=0.0001 * _STEPS / T,
        end=0.02 * _STEPS / T,
        T=T,
        prediction="sample" if flags.get("predict_xstart") else "epsilon",
        spacing="leading",
        options=tuple(sorted(options.items())),
    )


def _numbers(value: Any) -> tuple[float, ...]:
    if value is None or value == "":
        return ()
    parts = value.strip("()[] ").split(",") if isinstance(value, str) else value
    return tuple(float(p) for p in ([parts] if isinstance(parts, int | float) else parts))
