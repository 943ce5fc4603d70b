"""guided-diffusion (ADM) checkpoints: pixel-space baselines, described by its scripts' flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.models.compvis_unet import build_unet, plan_unet
from ldmbench.models.load_conditions import ClassLabels, Condition, NoCondition
from ldmbench.models.load_images import EnlargedImage
from ldmbench.models.load_model import Info, Model
from ldmbench.models.load_stages import Identity
from ldmbench.models.weights import Tensors
from ldmbench.sample import Schedule

__all__ = ["load_adm"]

_MULT = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
}
_UPSAMPLER_MULT = {512: (1, 1, 2, 2, 4, 4), 256: (1, 1, 2, 2, 4, 4), 64: (1, 2, 3, 4)}
_CLASSES = 1000


def load_adm(flags: Mapping[str, Any], tensors: Tensors, *, path: Path, identity: str) -> Model:
    """Load a guided-diffusion UNet, or one that upsamples (SuperResModel).

    Args:
        flags: of its scripts (image_size, num_channels, attention_resolutions as image sizes,
            class_cond, learn_sigma, noise_schedule, ...), with their defaults; upsamplers have
            large_size and small_size in place of image_size.
        tensors: the state dict.
        path: where it came from.
        identity: digest of weights and flags.
    """
    where = str(path)
    size, small = _sides(flags, where)
    learned = bool(flags.get("learn_sigma", False))
    classes = int(flags.get("num_classes") or _CLASSES) if flags.get("class_cond") else None
    _check_flags(flags, where)
    known = _MULT if small is None else _UPSAMPLER_MULT
    mult = _numbers(flags.get("channel_mult")) or known.get(size)
    if mult is None:
        raise InputError(f"{where}: image size {size} needs channel_mult; known: {list(known)}")
    attention = _numbers(flags.get("attention_resolutions", "16,8"))
    plan = plan_unet(
        {
            "image_size": size,
            "in_channels": 3 if small is None else 6,
            "out_channels": 6 if learned else 3,
            "model_channels": int(flags["num_channels"]),
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
        },
        where=where,
    )
    info = Info(
        f=1,
        latent_shape=(3, size, size),
        digest=identity,
        source="guided-diffusion:UNetModel",
        path=path,
        quantize="truncate",
        schedule=_schedule(flags, learned=learned, where=where),
        timesteps="leading",
    )
    condition: Condition = NoCondition() if classes is None else ClassLabels(classes)
    if small is not None:
        condition = EnlargedImage(small, size, classes)
    network = build_unet(plan, tensors, where=where)
    return Model(info, Identity(), network=network, condition=condition)


def _sides(flags: Mapping[str, Any], where: str) -> tuple[int, int | None]:
    """Return the side of the images, and of the small ones that an upsampler starts from."""
    if "large_size" not in flags and "small_size" not in flags:
        return int(flags["image_size"]), None
    large, small = int(flags.get("large_size", 256)), int(flags.get("small_size", 64))
    if not 0 < small < large:
        raise InputError(
            f"{where}: small_size is {small} and large_size {large}; allowed is a small_size "
            "from 1 up to less than large_size"
        )
    return large, small


def _schedule(flags: Mapping[str, Any], *, learned: bool, where: str) -> Schedule:
    """Return arXiv:2102.09672's schedules; the linear one keeps its ends per 1000 steps."""
    T, name = int(flags.get("diffusion_steps", 1000)), flags.get("noise_schedule", "linear")
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
        start=0.0001 * 1000 / T,
        end=0.02 * 1000 / T,
        T=T,
        prediction="sample" if flags.get("predict_xstart") else "epsilon",
        spacing="leading",
        options=tuple(sorted(options.items())),
    )


def _check_flags(flags: Mapping[str, Any], where: str) -> None:
    if flags.get("rescale_timesteps") and int(flags.get("diffusion_steps", 1000)) != 1000:
        raise InputError(
            f"{where}: rescale_timesteps is not supported with diffusion_steps other than 1000"
        )


def _numbers(value: Any) -> tuple[float, ...]:
    if value is None or value == "":
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(float(p) for p in ([parts] if isinstance(parts, int | float) else parts))
