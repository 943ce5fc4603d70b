"""Extractors of features: what each takes and gives, enough to plan and to sign; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ldmbench.registry import pick

Resize = Literal["tf-bilinear", "pil-bicubic-float", "pil-bicubic-crop", "torch-bilinear-aa"]


@dataclass(frozen=True, kw_only=True)
class ExtractorSpec:
    """A network that turns images into features.

    Attributes:
        name: in protocols and signatures.
        weights: a row of WEIGHTS.
        load: "module:function" that loads it.
        resize: how images are brought to `side`.
        side: of its input, pixels.
        dim: features of an image.
        logits: of an image; None where it has none.
        spatial: spatial features of an image, for sFID; None where it has none.
        text: whether it reads captions too.
        batch: images in a micro-batch on a CPU, 64 at most.
        flops: of one image, about.
        note: what to know of it.
        instead: of one that ships and was trained on `shapes` alone: what serves other images.
        notice: of such a one: what a report says of its scores.
    """

    name: str
    weights: str
    load: str
    resize: Resize
    side: int
    dim: int
    logits: int | None = None
    spatial: int | None = None
    text: bool = False
    batch: int = 16
    flops: float = 1.15e10
    note: str = ""
    instead: str = ""
    notice: str = ""

    @property
    def summary(self) -> str:
        """What it is, for lists."""
        return f"{self.dim} features; {self.note}"


_ROWS = (
    ExtractorSpec(
        name="shapes-net",
        weights="shapes-net",
        load="ldmbench.features.shapes_net:load",
        flops=6e7,
        resize="torch-bilinear-aa",
        side=64,
        dim=70,
        logits=48,
        spatial=128,
        batch=64,
        note="embedded; its FID is never Inception FID",
        instead="protocols of inception-v3-compat or dinov2-vit-s-14 are meant for them",
        notice="feat:shapes-net is a small network that ships with ldmbench. Its FID is not"
        " Inception FID: compare it within this report and never with published rows.",
    ),
    ExtractorSpec(
        name="shapes-clip",
        weights="shapes-clip",
        load="ldmbench.features.clip:load_shapes_clip",
        flops=6e7,
        resize="torch-bilinear-aa",
        side=96,
        dim=192,
        text=True,
        batch=64,
        note="embedded; its score is never a CLIP ViT score",
        instead="clip: clip-vit-b-32 in a protocol is meant for them",
        notice="shapes-clip is a small image-text network that ships with ldmbench. Its CLIP score"
        " is not that of OpenAI's CLIP: never compare it with published rows.",
    ),
    ExtractorSpec(
        name="inception-v3-compat",
        weights="inception-v3-compat",
        load="ldmbench.features.inception:load",
        resize="tf-bilinear",
        side=299,
        dim=2048,
        logits=1008,
        spatial=2023,
        note="as torch-fidelity; logits without bias",
    ),
    ExtractorSpec(
        name="inception-v3-clean",
        weights="inception-v3-clean",
        load="ldmbench.features.inception:load",
        resize="pil-bicubic-float",
        side=299,
        dim=2048,
        logits=1008,
        spatial=2023,
        note="as clean-fid's mode clean",
    ),
    ExtractorSpec(
        name="dinov2-vit-s-14",
        weights="dinov2-vit-s-14",
        load="ldmbench.features.dinov2:load",
        resize="tf-bilinear",
        side=224,
        dim=384,
        note="as torch-fidelity",
    ),
    ExtractorSpec(
        name="clip-vit-b-32",
        weights="clip-vit-b-32",
        load="ldmbench.features.clip:load_clip",
        resize="pil-bicubic-crop",
        side=224,
        dim=512,
        text=True,
        note="open_clip ViT-B-32-quickgelu, OpenAI's weights",
    ),
)

EXTRACTORS: dict[str, ExtractorSpec] = {row.name: row for row in _ROWS}
"""Every extractor by name, beside those of the user's own code."""
EMBEDDED = tuple(row.name for row in _ROWS if row.instead)
"""Extractors that ship: their FID is not Inception FID, their CLIP score not that of a ViT."""


def extractor_named(name: str) -> ExtractorSpec:
    """Return a row of EXTRACTORS; InputError says which there are."""
    return pick(EXTRACTORS, name, "extractor")
