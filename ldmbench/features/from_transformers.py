"""Networks of transformers that read samples, from their folders; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ldmbench.errors import InputError
from ldmbench.features.extractor import exact_convolutions
from ldmbench.sources.judges import Judge
from ldmbench.tensors.device import usable_device

__all__ = ["answer", "load_network"]


def load_network(judge: Judge, path: Path, *, sha256: str | None, device: str) -> tuple[Any, Any]:
    """Return a network, frozen in float32, and the processor that prepares its images by Pillow.

    Args:
        judge: what it is.
        path: its folder.
        sha256: digest that was planned; None takes what is there.
        device: where its weights go.

    Raises:
        InputError: it cannot be loaded, lacks weights, or is not what was planned.
    """
    files = judge.at(str(path))
    if sha256 is not None and files.digest != sha256:
        raise InputError(f"{path} has changed since the run was planned; run again")
    usable_device(device)
    import transformers

    try:
        network, told = getattr(transformers, files.network).from_pretrained(
            files.place,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
        kind = getattr(transformers, f"{files.processor}ImageProcessorPil")
        processor = kind.from_pretrained(files.place, local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, ImportError) as error:
        raise InputError(
            f"{path}: transformers cannot load this {files.network} ({error}); copy its folder"
            " again"
        ) from error
    lost = sorted(told["missing_keys"])
    if lost:
        raise InputError(
            f"{path}: its weights have no {lost[0]} and {len(lost) - 1} others that its config asks"
            " for; copy its folder again"
        )
    return network.eval().requires_grad_(False).to(device), processor


def answer(
    network: Any, processor: Any, images: Sequence[npt.NDArray[np.uint8]], *, device: torch.device
) -> Any:
    """Return what a network makes of images, each prepared by its processor.

    Args:
        network: of `load_network`.
        processor: of `load_network`.
        images: uint8 HWC, RGB.
        device: of the network.
    """
    prepared = processor(images=list(images), return_tensors="pt")
    inputs = {name: value.to(device) for name, value in prepared.items()}
    with exact_convolutions():
        return network(**inputs)
