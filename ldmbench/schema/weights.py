"""Evaluator weights: names, digests, licences; no torch.

Where no digest is published that we know, a file is imported by name and its digest is pinned
(`sources/evaluators.py`). The digests of the shipped files are read from
features/weights/index.json, which scripts/make_evaluators.py writes, so that a stage can be keyed
without loading a network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ldmbench.registry import pick
from ldmbench.schema.base import Noun

SHIPPED = Path(__file__).parents[1] / "features" / "weights"
"""Where the weights lie that come with the package."""


class Weights(Noun):
    """One file of weights."""

    name: str
    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None, description="as published; null: that of the file that is imported by name"
    )
    bytes: int | None = Field(default=None, description="null: those of the imported file")
    licence: str
    url: str | None = None
    kind: Literal["features", "clip", "lpips", "backbone", "segmenter", "tokenizer"]
    shipped: bool = False


class Pin(Noun):
    """What is kept of a file that was imported by name: no published digest says what it is."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: int
    imported: str = Field(description="date, YYYY-MM-DD")


def weights_named(name: str) -> Weights:
    """Return a row of WEIGHTS; InputError says which there are."""
    return pick({w.name: w for w in WEIGHTS}, name, "weights")


def _shipped() -> tuple[Weights, ...]:
    index = SHIPPED / "index.json"
    if not index.is_file():
        return ()
    rows = json.loads(index.read_text(encoding="utf-8"))["weights"]
    return tuple(Weights(**row, licence="Apache-2.0", shipped=True) for row in rows)


_TORCH_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
_DINOV2 = "https://dl.fbaipublicfiles.com/dinov2/"
_TORCHVISION = "https://download.pytorch.org/models/"
_HUB = "https://huggingface.co/timm/"
_LPIPS = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"
)

WEIGHTS: tuple[Weights, ...] = (
    *_shipped(),
    Weights(
        name="inception-v3-compat",
        file="weights-inception-2015-12-05-6726825d.pth",
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        bytes=95_628_359,
        licence="Apache-2.0",
        url=_TORCH_FIDELITY + "weights-inception-2015-12-05-6726825d.pth",
        kind="features",
    ),
    Weights(
        name="inception-v3-clean",
        file="inception-2015-12-05.pt",
        sha256="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        bytes=95_607_719,
        licence="Apache-2.0",
        url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
        "inception-2015-12-05.pt",
        kind="features",
    ),
    Weights(
        name="dinov2-vit-s-14",
        file="dinov2_vits14_pretrain.pth",
        sha256="b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
        bytes=88_283_115,
        licence="Apache-2.0",
        url=_DINOV2 + "dinov2_vits14/dinov2_vits14_pretrain.pth",
        kind="features",
    ),
    Weights(
        name="clip-vit-b-32",
        file="open_clip_model.safetensors",
        sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
        bytes=605_143_284,
        licence="MIT",
        url="https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/"
        "a6f597a30f7b82c51704746581f9a4e41421e878/open_clip_model.safetensors",
        kind="clip",
    ),
    Weights(
        name="lpips-vgg",
        file="lpips-v0.1-vgg.pth",
        sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        bytes=7_289,
        licence="BSD-2-Clause",
        url=_LPIPS + "vgg.pth",
        kind="lpips",
    ),
    Weights(
        name="lpips-alex",
        file="lpips-v0.1-alex.pth",
        sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        bytes=6_009,
        licence="BSD-2-Clause",
        url=_LPIPS + "alex.pth",
        kind="lpips",
    ),
    Weights(
        name="vgg16",
        file="vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        bytes=553_433_881,
        licence="BSD-3-Clause",
        url=_TORCHVISION + "vgg16-397923af.pth",
        kind="backbone",
    ),
    Weights(
        name="alexnet",
        file="alexnet-owt-7be5be79.pth",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        bytes=244_408_911,
        licence="BSD-3-Clause",
        url=_TORCHVISION + "alexnet-owt-7be5be79.pth",
        kind="backbone",
    ),
    *(
        Weights(
            name=f"dinov2-vit-{size}-14",
            file=f"dinov2_vit{size}14_pretrain.pth",
            licence="Apache-2.0",
            url=f"{_DINOV2}dinov2_vit{size}14/dinov2_vit{size}14_pretrain.pth",
            kind="features",
        )
        for size in "bl"
    ),
    *(
        Weights(
            name=name,
            file="model.safetensors",
            licence=licence,
            url=f"{_HUB}{name}/resolve/main/model.safetensors",
            kind="features",
        )
        for name, licence in {
            "convnextv2_base.fcmae_ft_in22k_in1k": "CC-BY-NC-4.0",
            "vit_large_patch14_dinov2.lvd142m": "Apache-2.0",
            "vit_large_patch16_224.mae": "CC-BY-NC-4.0",
            "vit_so400m_patch16_siglip_256.v2_webli": "Apache-2.0",
            "vit_large_patch14_clip_224.openai": "Apache-2.0",
        }.items()
    ),
    *(
        Weights(
            name=name,
            file="open_clip_model.safetensors",
            licence=licence,
            url=f"{_HUB}{home}/resolve/main/open_clip_model.safetensors",
            kind="clip",
        )
        for name, home, licence in (
            ("clip-vit-l-14", "vit_large_patch14_clip_224.openai", "MIT"),
            ("clip-vit-l-14-336", "vit_large_patch14_clip_336.openai", "MIT"),
            ("siglip2-vit-b-16-256", "ViT-B-16-SigLIP2-256", "Apache-2.0"),
            ("siglip2-so400m-16-256", "ViT-SO400M-16-SigLIP2-256", "Apache-2.0"),
        )
    ),
    Weights(
        name="siglip2-tokenizer",
        file="tokenizer.json",
        licence="Apache-2.0",
        url=f"{_HUB}ViT-B-16-SigLIP2-256/resolve/main/tokenizer.json",
        kind="tokenizer",
    ),
)

# ---------------------------------------------------------------- first stages

FIRST_STAGES_FOLDER = Path(__file__).parents[1] / "models" / "first_stages"
"""Where the first stages lie that come with the package, and their index.json."""


class FirstStageWeights(Noun):
    """One shipped first stage: a folder of files, written by scripts/make_first_stages.py."""

    name: str
    f: int
    regularization: Literal["kl", "vq"]
    files: dict[str, str] = Field(description="sha256 of each file")
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="of all files' names and contents"
    )
    bytes: int
    matrix_flops: float | None = Field(
        default=None,
        description="FLOP/s of a product of matrices where it was trained, if its training did not"
        " time one: its FLOP/s over the utilisation of a few such steps on another machine",
    )


def first_stages_in(root: Path = FIRST_STAGES_FOLDER) -> tuple[FirstStageWeights, ...]:
    """Return the rows of a folder's index.json; none where there is no such file."""
    index = root / "index.json"
    if not index.is_file():
        return ()
    rows = json.loads(index.read_text(encoding="utf-8"))["first_stages"]
    return tuple(FirstStageWeights(**row) for row in rows)


def shipped_first_stage(f: int, regularization: str) -> FirstStageWeights:
    """Return the shipped first stage of `shapes` with this factor and regularization.

    Raises:
        InputError: if none is shipped; the message says which there are.
    """
    rows = {f"{row.regularization}-f{row.f}": row for row in first_stages_in()}
    return pick(rows, f"{regularization}-f{f}", "shipped first stage")
