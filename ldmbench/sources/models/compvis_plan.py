"""What the config of a CompVis or guided-diffusion UNet says, with its defaults; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.models.compvis_config import sides_of

__all__ = ["UNetPlan", "plan_unet"]

_REFUSED = {
    "dims": (2, "networks of another dimension"),
    "n_embed": (None, "prediction of code indices"),
    "disable_self_attentions": (None, "levels without self-attention"),
    "disable_middle_self_attn": (False, "a middle without self-attention"),
    "num_attention_blocks": (None, "attention blocks counted by level"),
}


@dataclass(frozen=True)
class UNetPlan:
    """What a UNet's config says, with the defaults of the original filled in.

    Attributes:
        in_channels: channels of latent and concatenated condition together.
        out_channels: channels predicted (twice the latent's with learned sigma).
        widths: channels of each level.
        layers: residual blocks a level.
        attends: whether a level has attention.
        heads: number of heads of each level, meaningful where it attends.
        up_heads: the same on the way up.
        middle_heads: number of heads in the middle.
        context: width of the cross-attention context, or None.
        depth: transformer blocks a level.
        classes: size of the label table, or None.
        shift: "scale_shift" or "default" time embedding.
        resample: "resnet", "conv" or "pool" resampling.
        joint_order: query, key and value of all heads follow one another (the new order).
        linear: projections of the transformer are linear layers.
        size: latent size of training, (height, width).
        time: width of the sinusoidal time embedding.
    """

    in_channels: int
    out_channels: int
    widths: tuple[int, ...]
    layers: int
    attends: tuple[bool, ...]
    heads: tuple[int, ...]
    up_heads: tuple[int, ...]
    middle_heads: int
    context: int | None
    depth: int
    classes: int | None
    shift: str
    resample: str
    joint_order: bool
    linear: bool
    size: tuple[int, int]
    time: int


def plan_unet(params: Mapping[str, Any], *, where: str, size: Any = None) -> UNetPlan:
    """Read `params` of a UNetModel config.

    Args:
        params: its arguments.
        where: said in messages.
        size: latent size of training; the UNet's own image_size is unused by the original.

    Raises:
        InputError: a field is missing, or asks for what no diffusers network can do.
    """
    for name, (allowed, what) in _REFUSED.items():
        if params.get(name, allowed) not in (allowed, None):
            raise InputError(f"{where}: {name} = {params[name]} ({what}) is not supported")
    needed = ("in_channels", "model_channels", "out_channels", "num_res_blocks")
    lacking = [k for k in (*needed, "attention_resolutions") if k not in params]
    if lacking:
        raise InputError(f"{where}: the UNet's config lacks {', '.join(lacking)}")
    mult = [float(m) for m in params.get("channel_mult", (1, 2, 4, 8))]
    widths = tuple(int(m * int(params["model_channels"])) for m in mult)
    marked = {int(r) for r in params["attention_resolutions"]}
    heads = tuple(_heads(params, width, where) for width in widths)
    context = _first(params.get("context_dim"))
    crossed = bool(params.get("use_spatial_transformer"))
    if crossed != (context is not None):
        raise InputError(f"{where}: use_spatial_transformer and context_dim come together")
    attends = tuple(2**i in marked for i in range(len(widths)))
    if not crossed:
        _check_heads(params, widths, (*attends[:-1], True), where)
    return UNetPlan(
        in_channels=int(params["in_channels"]),
        out_channels=int(params["out_channels"]),
        widths=widths,
        layers=_first(params["num_res_blocks"]) or 2,
        attends=attends,
        heads=heads,
        up_heads=heads if crossed else _up_heads(params, heads),
        middle_heads=heads[-1],
        context=context,
        depth=_first(params.get("transformer_depth", 1)) or 1,
        classes=_classes(params.get("num_classes"), where),
        shift="scale_shift" if params.get("use_scale_shift_norm") else "default",
        resample=_resampling(params),
        joint_order=bool(params.get("use_new_attention_order")),
        linear=bool(params.get("use_linear_in_transformer")),
        size=sides_of(size or params.get("image_size", 32)),
        time=int(params["model_channels"]),
    )


def _heads(params: Mapping[str, Any], width: int, where: str) -> int:
    per_head = int(params.get("num_head_channels", -1))
    heads = int(params.get("num_heads", -1))
    if per_head == -1 and heads == -1:
        raise InputError(f"{where}: the UNet's config has neither num_heads nor num_head_channels")
    return heads if per_head == -1 else max(width // per_head, 1)


def _check_heads(
    params: Mapping[str, Any], widths: tuple[int, ...], attends: tuple[bool, ...], where: str
) -> None:
    """Refuse heads that do not divide a level with attention; the middle has it, too."""
    per_head = int(params.get("num_head_channels", -1))
    field = "num_heads" if per_head == -1 else "num_head_channels"
    count = int(params[field])
    odd = [width for width, attending in zip(widths, attends) if attending and width % count]
    if odd:
        raise InputError(
            f"{where}: {field} is {count}, which does not divide the {odd[0]} channels of a level"
            " with attention"
        )


def _up_heads(params: Mapping[str, Any], heads: tuple[int, ...]) -> tuple[int, ...]:
    """Return the heads on the way up: num_heads_upsample, which a fixed head width overrides.

    `legacy: false` fixes each level's width from num_heads, so that it overrides too.
    """
    upward = int(params.get("num_heads_upsample", -1))
    legacy = bool(params.get("legacy", True))
    fixed = int(params.get("num_head_channels", -1)) != -1 or not legacy
    return heads if upward == -1 or fixed else (upward,) * len(heads)


def _resampling(params: Mapping[str, object]) -> str:
    if params.get("resblock_updown"):
        return "resnet"
    return "conv" if params.get("conv_resample", True) else "pool"


def _classes(value: object, where: str) -> int | None:
    if value is not None and not isinstance(value, int):
        raise InputError(f"{where}: num_classes = {value!r} is not supported; give a whole number")
    return value


def _first(value: Any) -> int | None:
    """Return a number that some configs write as a list of equal ones."""
    if value is None or isinstance(value, int):
        return value
    values = {int(v) for v in value}
    if len(values) != 1:
        raise InputError(f"the UNet's config has unlike values {sorted(values)} for its levels")
    return values.pop()
