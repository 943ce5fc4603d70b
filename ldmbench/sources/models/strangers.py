"""What a checkpoint without a config is, by the names of its tensors; no torch, nothing is run."""

from __future__ import annotations

import mmap
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from ldmbench.sources.models.diffusers_classes import ELSEWHERE

__all__ = ["mentioned", "unconfigured"]

_LARGEST_TABLE = 1 << 28
_UNSUPPORTED = (  # names that one family alone has, the family
    (("conditioner.embedders.",), "a Stable Diffusion XL"),
    (("double_blocks.", "single_blocks."), "a FLUX transformer"),
    (("joint_blocks.",), "a Stable Diffusion 3"),
    (("control_model.",), "a ControlNet"),
    (("lora_unet_",), "a LoRA, which is no model by itself"),
    ((".lora_A.",), "a LoRA, which is no model by itself"),
    ((".lora_down.",), "a LoRA, which is no model by itself"),
    (("caption_embedding.", "scale_shift_table"), "a PixArt transformer"),
    (("y_embedder.", "adaLN_modulation"), "a DiT or SiT"),
    (("single_transformer_blocks.",), "a transformer of diffusers without its folder"),
)
_KNOWN = (  # names, what would describe such a file
    (("model.diffusion_model.",), "is CompVis' or Stable Diffusion's: put its config.yaml"),
    (("input_blocks.", "time_embed."),
     "is a UNet of guided-diffusion or improved-diffusion: put a YAML of its script's flags"
     " (image_size: 256, num_channels: 256, ...)"),
    (("encoder.down.", "quant_conv."), "is a first stage of CompVis: put its config.yaml"),
    (("down_blocks.",), "is a network of diffusers: put its config.json"),
)  # fmt: skip


def unconfigured(file: Path) -> str:
    """Return what is wrong with a checkpoint that has no config, and what would work."""
    names = {name for table in (_UNSUPPORTED, _KNOWN) for row in table for name in row[0]}
    found = mentioned(file, sorted(names)) or frozenset()
    for wanted, family in _UNSUPPORTED:
        if set(wanted) <= found:
            return f"{file} is {family} by its tensors, which no config makes loadable; {ELSEWHERE}"
    for wanted, advice in _KNOWN:
        if set(wanted) <= found:
            return f"{file} has no config beside it and {advice} into {file.parent}, or name it"
    return (
        f"{file} has no config beside it; put its config.yaml (CompVis), or a YAML of its script's"
        f" flags (guided-diffusion), into {file.parent}, or name it; of other families {ELSEWHERE}"
    )


def mentioned(file: Path, names: Sequence[str]) -> frozenset[str] | None:
    """Return which of some parts of names a checkpoint's tensors have; None of an unreadable one.

    What is wrong with that its reader will say.
    """
    try:
        return _mentioned(file, names)
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _mentioned(file: Path, names: Sequence[str]) -> frozenset[str]:
    wanted = {name: name.encode() for name in names}
    if file.suffix == ".safetensors":
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            listed = [stream.read(min(size, file.stat().st_size))]
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            tables = [i for i in archive.infolist() if i.filename.endswith("data.pkl")]
            listed = [archive.read(i) for i in tables if i.file_size < _LARGEST_TABLE]
    elif file.stat().st_size == 0:
        listed = []
    else:  # torch before 1.6: names stand anywhere in the file
        with (
            file.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as seen,
        ):
            return frozenset(name for name, text in wanted.items() if seen.find(text) >= 0)
    return frozenset(n for n, text in wanted.items() if any(text in part for part in listed))
