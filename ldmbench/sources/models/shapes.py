"""Compares sizes that a config states with the shapes of the weights it describes; no torch.

A plan cannot build a network, but the tensors at its ends show channels, classes, codes and levels.
Loading compares all names and shapes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from ldmbench.errors import InputError
from ldmbench.sources.models.compvis_plan import UNetPlan
from ldmbench.tensors.slots import Slot

__all__ = ["check_compvis_stage", "check_folder_network", "check_unet"]

Slots = Mapping[str, Slot]


class _Row(NamedTuple):
    """A field of a config, and where the weights show it.

    Attributes:
        field: of the config.
        value: as the config has it; None: there is no such tensor.
        tensor: its name.
        axis: of the tensor.
    """

    field: str
    value: int | None
    tensor: str
    axis: int


def check_unet(plan: UNetPlan, slots: Slots, *, prefix: str, where: str) -> None:
    """Hold a UNet of CompVis or guided-diffusion to the shapes of its weights.

    Args:
        plan: of `plan_unet`.
        slots: of the checkpoint.
        prefix: before the names of the UNet's tensors.
        where: said in messages.

    Raises:
        InputError: a field that the weights contradict.
    """
    rows = (
        _Row("in_channels", plan.in_channels, "input_blocks.0.0.weight", 1),
        _Row("model_channels by channel_mult", plan.widths[0], "input_blocks.0.0.weight", 0),
        _Row("out_channels", plan.out_channels, "out.2.weight", 0),
        _Row("num_classes", plan.classes, "label_emb.weight", 0),
    )
    _check(rows, slots, prefix=prefix, where=where)
    for level, attends in enumerate(plan.attends):
        block = f"{prefix}input_blocks.{1 + level * (plan.layers + 1)}."
        shown = any(name.startswith(f"{block}1.") for name in slots)
        if shown != attends and any(name.startswith(block) for name in slots):
            raise InputError(
                f"{where}: config and weights are not of one network: by num_res_blocks and"
                f" attention_resolutions level {level} has {'' if attends else 'no '}attention, by"
                f" its weights ({block}*) it has {'some' if shown else 'none'}; give the"
                " config that the weights were saved with"
            )


def check_compvis_stage(
    params: Mapping[str, Any], slots: Slots, *, kind: str, prefix: str, where: str
) -> None:
    """Hold a first stage of CompVis to the shapes of its weights.

    Args:
        params: of its config.
        slots: of the checkpoint.
        kind: kl or vq.
        prefix: before the names of its tensors.
        where: said in messages.

    Raises:
        InputError: a field that the weights contradict.
    """
    if prefix and not any(name.startswith(prefix) for name in slots):
        return  # it lies in another file, or under another name
    dd = params.get("ddconfig") or {}
    rows = (
        _Row("ddconfig.in_channels", dd.get("in_channels"), "encoder.conv_in.weight", 1),
        _Row("ddconfig.out_ch", dd.get("out_ch"), "decoder.conv_out.weight", 0),
        _Row("ddconfig.z_channels", dd.get("z_channels"), "decoder.conv_in.weight", 1),
        _Row(
            "n_embed",
            params.get("n_embed") if kind == "vq" else None,
            "quantize.embedding.weight",
            0,
        ),
    )
    _check(rows, slots, prefix=prefix, where=where, absent=("n_embed",))
    levels = len(dd.get("ch_mult") or ())
    _check_levels("ddconfig.ch_mult", levels, slots, head=f"{prefix}encoder.down.", where=where)


def check_folder_network(config: Mapping[str, Any], slots: Slots, *, where: str) -> None:
    """Hold the config of a denoiser or first stage of diffusers to the shapes of its weights.

    Args:
        config: of the network; fields that it does not state are not looked at.
        slots: of all its files.
        where: its folder, said in messages.

    Raises:
        InputError: a field that the weights contradict.
    """
    rows, levels = _FOLDER.get(str(config.get("_class_name")), ((), ""))
    found = [
        _Row(field, config.get(field, _DEFAULTS.get(field)), tensor, axis)
        for field, tensor, axis in rows
        if config.get(field) is not None or field in _CLASSED
    ]
    _check(found, slots, prefix="", where=where)
    widths = config.get("block_out_channels")
    if levels and isinstance(widths, list):
        _check_levels("block_out_channels", len(widths), slots, head=levels, where=where)


_CLASSED = ("num_class_embeds", "num_vq_embeddings")
_DEFAULTS = {"num_vq_embeddings": 256}
_UNET = (
    (
        ("in_channels", "conv_in.weight", 1),
        ("out_channels", "conv_out.weight", 0),
        ("num_class_embeds", "class_embedding.weight", 0),
    ),
    "down_blocks.",
)
_STAGE = (
    ("in_channels", "encoder.conv_in.weight", 1),
    ("out_channels", "decoder.conv_out.weight", 0),
)
_FOLDER: dict[str, tuple[tuple[tuple[str, str, int], ...], str]] = {
    "AutoencoderKL": (
        (*_STAGE, ("latent_channels", "decoder.conv_in.weight", 1)), "encoder.down_blocks.",
    ),
    "DiTTransformer2DModel": ((("in_channels", "pos_embed.proj.weight", 1),), ""),
    "Transformer2DModel": ((("in_channels", "pos_embed.proj.weight", 1),), ""),
    "UNet2DConditionModel": _UNET,
    "UNet2DModel": _UNET,
    "VQModel": (
        (*_STAGE, ("latent_channels", "decoder.conv_in.weight", 1),
         ("num_vq_embeddings", "quantize.embedding.weight", 0)), "encoder.down_blocks.",
    ),
}  # fmt: skip
"""Class -> (field, tensor, axis) of each row, and the names of its levels."""


def _check(
    rows: Collection[_Row], slots: Slots, *, prefix: str, where: str, absent: tuple[str, ...] = ()
) -> None:
    told = [
        text
        for row in rows
        for text in _odd(row, slots, prefix, bare=row.field in (*absent, *_CLASSED, "num_classes"))
    ]
    if told:
        raise InputError(
            f"{where}: config and weights are not of one network: {'; '.join(told)}; give the"
            " config that the weights were saved with"
        )


def _odd(row: _Row, slots: Slots, prefix: str, *, bare: bool) -> Iterator[str]:
    """Yield what weights and config say unlike each other.

    Args:
        row: the field.
        slots: of the weights.
        prefix: before its tensor's name.
        bare: whether the tensor is there if, and only if, the field is stated.
    """
    slot = slots.get(prefix + row.tensor)
    if slot is None or len(slot.shape) <= row.axis:
        if slot is None and bare and row.value is not None:
            yield f"{row.field} is {row.value}, but there is no {prefix}{row.tensor}"
        return
    if row.value is None:
        if bare:
            yield f"{row.field} is not stated, but {prefix}{row.tensor} is {slot.shape}"
        return
    if slot.shape[row.axis] != row.value:
        yield f"{row.field} is {row.value}, but {prefix}{row.tensor} is {slot.shape}"


def _check_levels(field: str, levels: int, slots: Slots, *, head: str, where: str) -> None:
    """Refuse another number of levels than the weights have, by which f would be wrong."""
    found = {name[len(head) :].partition(".")[0] for name in slots if name.startswith(head)}
    if found and len(found) != levels:
        raise InputError(
            f"{where}: config and weights are not of one network: {field} has {levels} levels, but"
            f" the weights have {len(found)} ({head}*); give the config that the weights were saved"
            " with"
        )
