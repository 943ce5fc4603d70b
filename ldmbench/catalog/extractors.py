"""Extractors of features: what each takes and gives, enough to plan and to sign; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ldmbench.registry import pick

Resize = Literal[
    "tf-bilinear",
    "pil-bicubic-float",
    "pil-bicubic-crop",
    "pil-bicubic",
    "torch-bilinear-aa",
    "torch-bicubic-aa",
]
Colours = Literal["imagenet", "clip", "half"]


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
        network: name of the architecture in the library that builds it (timm, open_clip).
        options: arguments of that architecture, (name, value) each.
        pool: what of a network of tokens or positions is the feature: the class token, the mean
            over positions, or the network's own attention over them.
        colours: mean and standard deviation by which channels are normalised.
        tokenizer: a row of WEIGHTS that its captions are read with; "" where it has its own.
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
    network: str = ""
    options: tuple[tuple[str, object], ...] = ()
    pool: Literal["class", "mean", "attention"] = "class"
    colours: Colours = "imagenet"
    tokenizer: str = ""
    batch: int = 16
    flops: float = 1.15e10
    note: str = ""
    instead: str = ""
    notice: str = ""

    @property
    def summary(self) -> str:
        """What it is, for lists."""
        return f"{self.dim} features; {self.note}"


def _dinov2(dim: int, size: str, flops: float) -> tuple[ExtractorSpec, ...]:
    """Return DINOv2 of one size, with images prepared as each of three repositories does."""
    ways: tuple[tuple[str, Resize, str], ...] = (
        ("", "tf-bilinear", "as torch-fidelity"),
        ("-dgm-eval", "pil-bicubic", "as dgm-eval (arXiv:2306.04675)"),
        ("-edm2", "torch-bicubic-aa", "as EDM2 (arXiv:2312.02696)"),
    )
    name = f"dinov2-vit-{size}-14"
    return tuple(
        ExtractorSpec(
            name=f"{name}{way}",
            weights=name,
            load="ldmbench.features.dinov2:load",
            resize=resize,
            side=224,
            dim=dim,
            flops=flops,
            note=f"class token, {note}",
        )
        for way, resize, note in ways
    )


def _fd_loss(
    name: str,
    network: str,
    side: int,
    dim: int,
    flops: float,
    pool: Literal["class", "mean", "attention"] = "class",
    colours: Colours = "imagenet",
) -> ExtractorSpec:
    """Return a network of timm with images prepared as FD-loss does (arXiv:2604.28190)."""
    dynamic = () if pool == "mean" else (("dynamic_img_size", True), ("dynamic_img_pad", True))
    return ExtractorSpec(
        name=f"{name}-fd-loss",
        weights=network,
        load="ldmbench.features.timm_models:load",
        resize="torch-bicubic-aa",
        side=side,
        dim=dim,
        network=network,
        options=dynamic,
        pool=pool,
        colours=colours,
        flops=flops,
        note=f"timm {network}, as FD-loss but in float32 (there bfloat16)",
    )


def _open_clip(
    name: str,
    network: str,
    side: int,
    dim: int,
    flops: float,
    *,
    resize: Resize = "pil-bicubic-crop",
    colours: Colours = "clip",
    tokenizer: str = "",
    note: str = "OpenAI's weights",
) -> ExtractorSpec:
    """Return an image-text network of open_clip."""
    return ExtractorSpec(
        name=name,
        weights=name,
        load="ldmbench.features.clip:load_clip",
        resize=resize,
        side=side,
        dim=dim,
        text=True,
        network=network,
        colours=colours,
        tokenizer=tokenizer,
        flops=flops,
        note=f"open_clip {network}, {note}",
    )


def _siglip2(name: str, network: str, dim: int, flops: float) -> ExtractorSpec:
    return _open_clip(
        name,
        network,
        256,
        dim,
        flops,
        resize="pil-bicubic",
        colours="half",
        tokenizer="siglip2-tokenizer",
        note="Google's weights",
    )


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
        network="ViT-B-32-quickgelu",
        colours="clip",
        note="open_clip ViT-B-32-quickgelu, OpenAI's weights",
    ),
    *_dinov2(768, "b", 4.6e10),
    *_dinov2(1024, "l", 1.6e11),
    _fd_loss("convnextv2-base", "convnextv2_base.fcmae_ft_in22k_in1k", 224, 1024, 3.1e10, "mean"),
    _fd_loss("dinov2-vit-l-14", "vit_large_patch14_dinov2.lvd142m", 256, 1024, 2.3e11),
    _fd_loss("mae-vit-l-16", "vit_large_patch16_224.mae", 224, 1024, 1.2e11),
    _fd_loss(
        "siglip2-so400m-16",
        "vit_so400m_patch16_siglip_256.v2_webli",
        224,
        1152,
        1.7e11,
        "attention",
        "half",
    ),
    _fd_loss(
        "clip-vit-l-14", "vit_large_patch14_clip_224.openai", 256, 1024, 2.3e11, colours="clip"
    ),
    _open_clip("clip-vit-l-14", "ViT-L-14-quickgelu", 224, 768, 1.6e11),
    _open_clip("clip-vit-l-14-336", "ViT-L-14-336-quickgelu", 336, 768, 3.8e11),
    _siglip2("siglip2-vit-b-16-256", "ViT-B-16-SigLIP2-256", 768, 4.7e10),
    _siglip2("siglip2-so400m-16-256", "ViT-SO400M-16-SigLIP2-256", 1152, 2.2e11),
)

EXTRACTORS: dict[str, ExtractorSpec] = {row.name: row for row in _ROWS}
"""Every extractor by name, beside those of the user's own code."""
EMBEDDED = tuple(row.name for row in _ROWS if row.instead)
"""Extractors that ship: their FID is not Inception FID, their CLIP score not that of a ViT."""


def extractor_named(name: str) -> ExtractorSpec:
    """Return a row of EXTRACTORS; InputError says which there are."""
    return pick(EXTRACTORS, name, "extractor")
