"""The extractor: images and captions in, named feature arrays out, whatever the caller batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch

from ldmbench.ahead import ahead
from ldmbench.canonical import digest_file
from ldmbench.catalog.extractors import EXTRACTORS, Colours, ExtractorSpec, extractor_named
from ldmbench.errors import InputError
from ldmbench.features.resize import RESIZERS
from ldmbench.registry import pick, resolve
from ldmbench.sources.evaluators import extractor_digest, weights_path
from ldmbench.tensors.device import usable_device

__all__ = [
    "Extractor",
    "Features",
    "Floats",
    "Precision",
    "Use",
    "load_extractor",
    "normaliser",
    "per_channel",
]

Floats: TypeAlias = npt.NDArray[np.float32]
Features: TypeAlias = dict[str, Floats]
Precision: TypeAlias = Literal["float32", "bfloat16"]
Network = TypeVar("Network", bound=torch.nn.Module)

GPU_BATCHES = 8
"""Micro-batches of a CPU that a GPU takes at once."""
COLOURS: dict[Colours, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation of each channel, of images in [0, 1]."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Use:
    """What an extractor is loaded for.

    Attributes:
        digest: sha256 of the weights, 64 hex digits; a signature shows the first 8.
        device: where the network runs.
        precision: "float32", or "bfloat16" where it was asked for.
        expected: how many images will come, so that a network may be compiled when that pays.
    """

    digest: str
    device: torch.device
    precision: Precision
    expected: int

    def placed(self, network: Network) -> Network:
        """Return a network on the device, in the precision, ready to be asked."""
        return network.to(self.device, DTYPES[self.precision]).eval()


class Extractor(ABC):
    """A network behind one interface; micro-batches have one size, the last one is padded.

    So the features of an image do not depend on its neighbours nor on how the caller batches: on
    one machine they are the same bytes. On a GPU micro-batches are larger, the next one is read,
    resized and copied from pinned memory while one is computed, and nothing waits before the last.

    Attributes:
        spec: names and shapes, as the planner sees them.
        network: what computes features.
        digest, device, precision: as in `Use`.
        batch: images in a micro-batch.
    """

    def __init__(self, spec: ExtractorSpec, network: Any, use: Use) -> None:
        self.spec, self.network = spec, network
        self.digest, self.device, self.precision = use.digest, use.device, use.precision
        self._resizer = RESIZERS[spec.resize]
        self.batch = spec.batch * (GPU_BATCHES if self.device.type == "cuda" else 1)

    @property
    def name(self) -> str:
        """Name of the extractor, as a suite writes it."""
        return self.spec.name

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the arrays that `extract` returns."""
        extra = (("logits", self.spec.logits), ("spatial", self.spec.spatial))
        return ("features", *(name for name, width in extra if width))

    def extract(self, images: npt.NDArray[np.uint8]) -> Features:
        """Return the feature arrays of images.

        Args:
            images: uint8 NHWC, RGB, any size; resized inside by the extractor's named rule.

        Returns:
            "features" (N, D), and where the network has them "logits" (N, C) and "spatial"
            (N, S); float32.

        Raises:
            InputError: if the images are not uint8 (N, H, W, 3), or a result is not finite.
        """
        _check_images(images)
        source = torch.from_numpy(np.ascontiguousarray(images))
        return self._batched(
            source, self._forward, lambda part: self._resizer.before(part, self.spec.side)
        )

    def extract_text(self, captions: Sequence[str]) -> Floats:
        """Return the embeddings of captions, float32 (N, D); equal captions are computed once.

        Raises:
            InputError: if the extractor has no text tower.
        """
        if not self.spec.text:
            able = ", ".join(e.name for e in EXTRACTORS.values() if e.text)
            raise InputError(f"the extractor '{self.name}' reads no captions; use one of: {able}")
        unique = sorted(set(captions))
        row = {caption: i for i, caption in enumerate(unique)}
        tokens = self._tokens(unique)
        lengths = self._lengths(tokens)
        order, parts = np.argsort(lengths, kind="stable"), []
        for length in np.unique(lengths) if unique else [tokens.shape[1]]:
            at = torch.from_numpy(order[lengths[order] == length])
            parts.append(self._batched(tokens[at, :length], self._forward_text)["features"])
        place = np.argsort(order)
        return np.concatenate(parts)[[place[row[caption]] for caption in captions]]

    @abstractmethod
    def _forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the layers of one micro-batch of images for `_resized`, on the device."""

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 NCHW in [0, 255], of the extractor's side, of images on the device."""
        return self._resizer.after(images, self.spec.side)

    def _tokens(self, captions: Sequence[str]) -> torch.Tensor:
        raise NotImplementedError

    def _lengths(self, tokens: torch.Tensor) -> npt.NDArray[np.int64]:
        """Return how many columns of each row are worth computing, a matter of that row alone."""
        return np.full(len(tokens), tokens.shape[1])

    def _forward_text(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def _batched(
        self,
        source: torch.Tensor,
        forward: Callable[[torch.Tensor], dict[str, torch.Tensor]],
        before: Callable[[torch.Tensor], torch.Tensor] = lambda part: part,
    ) -> Features:
        """Run `before` on the CPU and `forward` over padded micro-batches; join what it returns."""
        parts: dict[str, list[torch.Tensor]] = {}
        starts = range(0, max(len(source), 1), self.batch)
        batches: Iterable[torch.Tensor] = (before(source[i : i + self.batch]) for i in starts)
        if self.device.type == "cuda":
            batches = ahead(self._padded(part).pin_memory() for part in batches)
        else:
            batches = map(self._padded, batches)
        left = len(source)
        with torch.inference_mode(), exact_convolutions():
            for batch in batches:
                for name, values in forward(batch.to(self.device, non_blocking=True)).items():
                    parts.setdefault(name, []).append(values[:left].float())
                left -= self.batch
            joined = {name: torch.cat(values).cpu().numpy() for name, values in parts.items()}
        for name, array in joined.items():
            if not np.isfinite(array).all():
                raise InputError(
                    f"the extractor '{self.name}' gave {name} that are not finite; its weights "
                    f"are damaged or unfit for {self.precision}: use float32 or other weights"
                )
        return joined

    def _padded(self, part: torch.Tensor) -> torch.Tensor:
        """Return a micro-batch of which too few rows are given, zeros behind them."""
        return torch.cat([part, part.new_zeros(self.batch - len(part), *part.shape[1:])])


def load_extractor(
    name: str,
    *,
    device: str = "cpu",
    precision: Precision = "float32",
    path: Path | None = None,
    offline: bool | None = None,
    expected: int = 0,
) -> Extractor:
    """Load an extractor by name.

    Args:
        name: a row of `ldmbench list extractors`.
        device: a torch device.
        precision: of the network's arithmetic; the reduced one belongs in the signature.
        path: other weights in the same format; their digest is then the extractor's.
        offline: open no connection; None asks LDMBENCH_OFFLINE.
        expected: how many images will come, so that a network may be compiled when that pays.

    Raises:
        InputError: if a name is unknown, the device is not there, or the weights are missing,
            damaged or of another form.
    """
    spec = extractor_named(name)
    pick(DTYPES, precision, "precision")
    usable_device(device)
    if path is not None and not path.is_file():
        raise InputError(f"{path} is no file; give the weights of '{name}' or leave the path out")
    file = path if path is not None else weights_path(spec.weights, offline=offline)
    loader = cast(Callable[[ExtractorSpec, Path, Use], Extractor], resolve(spec.load))
    # weights_path has checked the file's digest
    found = extractor_digest(spec) if path is None else digest_file(path)
    return loader(spec, file, Use(found, torch.device(device), precision, expected))


def normaliser(colours: Colours, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what scales float NCHW in [0, 255] by a network's mean and standard deviation."""
    mean, std = (per_channel(tuple(255 * v for v in row), device) for row in COLOURS[colours])
    return lambda x: (x - mean) / std


def per_channel(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return values to scale NCHW by, float32 (C, 1, 1), copied to the device once."""
    return torch.tensor(values, device=device)[:, None, None]


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Keep a GPU from rounding float32 convolutions to TensorFloat-32."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def _check_images(images: npt.NDArray[np.uint8]) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise InputError(
            f"images are {images.dtype} {images.shape}; extractors take uint8 (N, H, W, 3), RGB"
        )
    if 0 in images.shape[1:3]:
        raise InputError(f"images of shape {images.shape} have no pixels; leave them out")
