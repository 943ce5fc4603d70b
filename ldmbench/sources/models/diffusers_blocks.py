"""The blocks that networks of diffusers are made of, by their names in configs; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.registry import nearest

__all__ = ["check_blocks"]

_BLOCKS = {
    "down_block_types": (
        "AttnDownBlock2D", "AttnDownEncoderBlock2D", "AttnSkipDownBlock2D", "CrossAttnDownBlock2D",
        "DownBlock2D", "DownEncoderBlock2D", "KCrossAttnDownBlock2D", "KDownBlock2D",
        "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", "SkipDownBlock2D",
    ),
    "up_block_types": (
        "AttnSkipUpBlock2D", "AttnUpBlock2D", "AttnUpDecoderBlock2D", "CrossAttnUpBlock2D",
        "KCrossAttnUpBlock2D", "KUpBlock2D", "ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D",
        "SkipUpBlock2D", "UpBlock2D", "UpDecoderBlock2D",
    ),
}  # fmt: skip


def check_blocks(config: Mapping[str, object], place: Path) -> None:
    """Refuse blocks that no network has, and other than one for each width.

    Args:
        config: of a UNet or a first stage.
        place: its folder, said in messages.
    """
    widths = config.get("block_out_channels")
    for field, known in _BLOCKS.items():
        blocks = config.get(field)
        if not isinstance(blocks, list):
            continue
        odd = next((str(b) for b in blocks if str(b).removeprefix("UNetRes") not in known), None)
        if odd is not None:
            raise InputError(
                f"{place / 'config.json'}: {field} has '{odd}'{nearest(odd, known)}; there are:"
                f" {', '.join(known)}"
            )
        if isinstance(widths, list) and len(blocks) != len(widths):
            raise InputError(
                f"{place / 'config.json'}: {field} has {len(blocks)} blocks for the"
                f" {len(widths)} widths of block_out_channels; needed is one for each"
            )
