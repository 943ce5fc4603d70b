"""Denoisers of papers by name: what a suite's `denoiser.preset` stands for, each with its source.

A row has the fields that its source states; what the source leaves open keeps its default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["PRESETS", "Preset"]

_LDM = "arXiv:2112.10752"
_CONFIGS = "configs of CompVis/latent-diffusion"
_DIT = "arXiv:2212.09748, section 4 and tables 1, 4"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A denoiser of a paper.

    Attributes:
        name: in suites.
        about: what it generated.
        source: the paper's table, and the released config where there is one.
        fields: of `denoiser`, as a suite writes them.
        latent: channels and side of the latents that it was trained on.
        classes: that it knew; 0 where it has none.
        objects: most boxes of an image that it was conditioned on.
        published: parameters that the source states, in millions.
        with_stage: of these, those of the first stage.
    """

    name: str
    about: str
    source: str
    fields: Mapping[str, object]
    latent: tuple[int, int]
    classes: int = 0
    objects: int = 0
    published: float
    with_stage: float = 0.0

    @property
    def summary(self) -> str:
        """What it is and where it was defined, for lists."""
        channels, side = self.latent
        latents = f"latents {channels} x {side} x {side}"
        return f"{self.about}, {latents}, {self.published:g} M parameters ({self.source})"


def _unet(channels: int, multipliers: str, attention: str, **more: object) -> dict[str, object]:
    """Return the fields of a UNet of arXiv:2112.10752; numbers in a string make a list."""
    return {
        "network": "unet",
        "channels": channels,
        "multipliers": tuple(map(int, multipliers.split())),
        "blocks": 2,
        "attention_sizes": tuple(map(int, attention.split())),
        "conditioning": "none",
        **more,
    }


_CLASS: dict[str, object] = {"conditioning": "class", "context_channels": 512}
_IMAGENET = "ImageNet 256, by class"
_HEADS: dict[str, object] = {"head_channels": 32}
_RELEASED = (
    Preset(
        name="ldm-4-celebahq", about="CelebA-HQ 256", latent=(3, 64), published=274,
        source=f"{_LDM}, table 12; {_CONFIGS}",
        fields=_unet(224, "1 2 3 4", "32 16 8", batch=48, learning_rate=9.6e-5, **_HEADS),
    ),
    Preset(
        name="ldm-4-ffhq", about="FFHQ 256", latent=(3, 64), published=274,
        source=f"{_LDM}, table 12; {_CONFIGS}",
        fields=_unet(224, "1 2 3 4", "32 16 8", batch=42, learning_rate=8.4e-5, **_HEADS),
    ),
    Preset(
        name="ldm-8-churches", about="LSUN-Churches 256", latent=(4, 32), published=256,
        source=f"{_LDM}, tables 12 and 18; {_CONFIGS}",
        fields=_unet(192, "1 2 2 4 4", "32 16 8 4", batch=96, learning_rate=5e-5, heads=8,
                     beta_end=0.0155),
    ),
    Preset(
        name="ldm-4-bedrooms", about="LSUN-Bedrooms 256", latent=(3, 64), published=274,
        source=f"{_LDM}, table 12; {_CONFIGS}",
        fields=_unet(224, "1 2 3 4", "32 16 8", batch=48, learning_rate=9.6e-5, **_HEADS),
    ),
    Preset(
        name="ldm-4-imagenet", latent=(3, 64), published=400, about=_IMAGENET, classes=1000,
        source=f"{_LDM}, tables 3 and 10; config cin256-v2 of CompVis/latent-diffusion",
        fields=_unet(192, "1 2 3 5", "32 16 8", batch=1200, learning_rate=1e-4, heads=1, **_CLASS),
    ),
    Preset(
        name="ldm-8-imagenet", latent=(4, 32), published=395, about=_IMAGENET, classes=1000,
        source=f"{_LDM}, tables 10 and 13; config cin-ldm-vq-f8 of CompVis/latent-diffusion",
        fields=_unet(256, "1 2 4", "32 16 8", batch=64, learning_rate=6.4e-5, **_HEADS, **_CLASS),
    ),
)  # fmt: skip


_LAYOUT: dict[str, object] = {"conditioning": "layout", "context_channels": 512}
_TEXT: dict[str, object] = {
    "conditioning": "caption", "context_channels": 1280, "context_depth": 32, "caption_tokens": 77,
}  # fmt: skip
_TASKS = (
    Preset(
        name="ldm-8-text", about="text to image 256; write `vocabulary`, BERT's vocab.txt",
        latent=(4, 32), published=1450,
        source=f"{_LDM}, tables 2 and 15; config txt2img-1p4B of CompVis/latent-diffusion",
        fields=_unet(320, "1 2 4 4", "32 16 8", batch=680, learning_rate=1e-4, heads=8,
                     beta_start=0.00085, beta_end=0.012, **_TEXT),
    ),
    Preset(
        name="ldm-4-superresolution", about="super-resolution x4 to 256", latent=(3, 64),
        source=f"{_LDM}, table 15; config bsr_sr of CompVis/latent-diffusion",
        published=169, with_stage=55.3,
        fields=_unet(160, "1 2 2 4", "8", batch=64, learning_rate=6.4e-5, **_HEADS,
                     conditioning="superresolution", scale=4, beta_end=0.0155),
    ),
    Preset(
        name="ldm-4-inpainting", about="inpainting of Places 256", latent=(3, 64), published=215,
        source=f"{_LDM}, table 15",
        fields=_unet(128, "1 4 8", "", batch=128, learning_rate=1e-6, heads=1,
                     conditioning="inpainting"),
    ),
    Preset(
        name="ldm-4-inpainting-big", about="inpainting of Places 256", latent=(3, 64),
        source=f"{_LDM}, table 7; config inpainting_big of CompVis/latent-diffusion", published=387,
        fields=_unet(256, "1 2 3 4", "32 16 8", heads=8, resblock_updown=True,
                     conditioning="inpainting", beta_end=0.0205),
    ),
    Preset(
        name="ldm-4-landscapes", about="semantic maps to landscapes 256", latent=(3, 64),
        classes=182, published=215,
        source=f"{_LDM}, table 15; config semantic_synthesis256 of CompVis/latent-diffusion",
        fields=_unet(128, "1 4 8", "", batch=48, learning_rate=4.8e-5, heads=8,
                     conditioning="semantic", beta_end=0.0205),
    ),
    Preset(
        name="ldm-4-layout-openimages", about="layouts to OpenImages 256", latent=(3, 64),
        classes=600, objects=30, published=306,
        source=f"{_LDM}, table 15; config layout2img-openimages256 of CompVis/latent-diffusion",
        fields=_unet(128, "1 2 3 4", "32 16 8", batch=24, learning_rate=4.8e-5, transformer_depth=3,
                     context_depth=16, beta_end=0.0205, **_HEADS, **_LAYOUT),
    ),
    Preset(
        name="ldm-8-layout-coco", about="layouts to COCO 256", latent=(4, 32),
        source=f"{_LDM}, table 15", classes=183, objects=30, published=345,
        fields=_unet(192, "1 2 4", "32 16 8", batch=48, learning_rate=4.8e-5, heads=1, dropout=0.1,
                     transformer_depth=2, **_LAYOUT),
    ),
)  # fmt: skip
"""The tasks of section 4.3."""
_STUDIED = (  # f, latent, attention, channels, multipliers, batch, rate, parameters in millions
    (1, (3, 256), "32 16 8", 192, "1 1 2 2 4 4", 7, 4.9e-5, 396),
    (2, (2, 128), "32 16 8", 192, "1 2 2 4 4", 9, 6.3e-5, 391),
    (4, (3, 64), "32 16 8", 192, "1 2 3 5", 40, 8e-5, 391),
    (8, (4, 32), "32 16 8", 256, "1 2 4", 64, 6.4e-5, 395),
    (16, (8, 16), "16 8 4", 256, "1 2 4", 112, 4.5e-5, 395),
    (32, (32, 8), "8 4 2", 256, "1 2 4", 112, 4.5e-5, 395),
)
_STUDIED_FACES = (
    (1, (3, 256), "32 16 8", 192, "1 1 2 2 4 4", 9, 9e-5, 270),
    (2, (2, 128), "32 16 8", 192, "1 2 2 4 4", 11, 1.1e-4, 265),
    (4, (3, 64), "32 16 8", 224, "1 2 3 4", 48, 9.6e-5, 274),
    (8, (4, 32), "32 16 8", 256, "1 2 4", 96, 9.6e-5, 258),
    (16, (8, 16), "16 8 4", 256, "1 2 4", 128, 1.3e-4, 260),
    (32, (32, 8), "8 4 2", 256, "1 2 4", 128, 1.3e-4, 258),
)


def _studies() -> Iterator[Preset]:
    """Yield the models of the study of compression."""
    by_class: dict[str, object] = {**_CLASS, "heads": 1}
    for f, latent, attention, channels, multipliers, batch, rate, published in _STUDIED:
        fields = _unet(
            channels, multipliers, attention, batch=batch, learning_rate=rate, **by_class
        )
        yield Preset(
            name=f"ldm-{f}-imagenet-study", source=f"{_LDM}, table 13", latent=latent,
            fields=fields, published=published, about=_IMAGENET, classes=1000,
        )  # fmt: skip
    for f, latent, attention, channels, multipliers, batch, rate, published in _STUDIED_FACES:
        fields = _unet(channels, multipliers, attention, batch=batch, learning_rate=rate, **_HEADS)
        yield Preset(
            name=f"ldm-{f}-celebahq-study", source=f"{_LDM}, table 14", latent=latent,
            fields=fields, published=published, about="CelebA-HQ 256",
        )  # fmt: skip


_TRANSFORMERS = {  # -> depth, width, heads; parameters in millions by patch (table 4)
    "s": (12, 384, 6, {2: 33, 4: 33, 8: 33}),
    "b": (12, 768, 12, {2: 130, 4: 130, 8: 131}),
    "l": (24, 1024, 16, {2: 458, 4: 458, 8: 459}),
    "xl": (28, 1152, 16, {2: 675, 4: 675, 8: 676}),
}


def _transformers() -> Iterator[Preset]:
    process = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
    training = {"batch": 256, "learning_rate": 1e-4, "warmup": 0, "weight_decay": 0.0}
    for size, (depth, width, heads, published) in _TRANSFORMERS.items():
        sizes = {"network": "dit", "depth": depth, "width": width, "heads": heads}
        for patch, count in published.items():
            yield Preset(
                name=f"dit-{size}-{patch}", source=_DIT, latent=(4, 32), published=count,
                about=_IMAGENET, classes=1000,
                fields={**sizes, "patch": patch, "conditioning": "class", **process, **training},
            )  # fmt: skip


PRESETS: dict[str, Preset] = {
    row.name: row for row in (*_RELEASED, *_TASKS, *_studies(), *_transformers())
}
"""By name."""
