"""Released models by name: what they are and where they are had, for who has not got them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

__all__ = ["ZOO", "Released", "released"]

_COMPVIS = "https://ommer-lab.com/files/"
_README = "the CompVis zoo"


class Released(NamedTuple):
    """One released model.

    Attributes:
        name: as its authors write it; for a hub, the id.
        about: task, data, f and regularisation.
        home: the zoo that it belongs to.
        source: where to get it.
        files: what must lie in its folder.
        others: further names by which people keep it.
    """

    name: str
    about: str
    home: str
    source: str
    files: str = "model.ckpt and config.yaml"
    others: tuple[str, ...] = ()


def _zoo(name: str, about: str, archive: str, *others: str) -> Released:
    return Released(name, about, _README, f"{_COMPVIS}latent-diffusion/{archive}", others=others)


def _hub(name: str, about: str) -> Released:
    home, files = "the Hugging Face hub", "the files of its repository"
    return Released(name, about, home, f"https://huggingface.co/{name}", files)


# fmt: off
ZOO = (
    _zoo("celeba256", "unconditional, CelebA-HQ, f = 4, VQ, 256 px", "celeba.zip", "celeba", "celebahq256"),
    _zoo("ffhq256", "unconditional, FFHQ, f = 4, VQ, 256 px", "ffhq.zip", "ffhq"),
    _zoo("lsun_churches256", "unconditional, LSUN-Churches, f = 8, KL, 256 px", "lsun_churches.zip", "lsun_churches", "churches"),
    _zoo("lsun_beds256", "unconditional, LSUN-Bedrooms, f = 4, VQ, 256 px", "lsun_bedrooms.zip", "lsun_bedrooms", "bedrooms"),
    _zoo("cin256", "classes, ImageNet, f = 8, VQ, 256 px", "cin.zip", "cin"),
    _zoo("cin256-v2", "classes with guidance, ImageNet, f = 4, VQ, 256 px", "nitro/cin/model.ckpt"),
    _zoo("text2img256", "text, Conceptual Captions, f = 4, VQ, 256 px", "text2img.zip", "text2img"),
    _zoo("text2img-large", "text, LAION-400M, f = 8, KL, 256 px, 1.45 B parameters", "nitro/txt2img-f8-large/model.ckpt", "txt2img-f8-large", "txt2img-1p4b"),
    _zoo("bsr_sr", "super-resolution x 4, OpenImages, f = 4, VQ", "sr_bsr.zip", "sr_bsr"),
    _zoo("layout2img-openimages256", "layouts, OpenImages, f = 4, VQ, 256 px", "layout2img_model.zip", "layout2img", "layout2img_model"),
    _zoo("semantic_synthesis256", "semantic maps, Landscapes, f = 4, VQ, 256 px", "semantic_synthesis256.zip"),
    _zoo("semantic_synthesis512", "semantic maps, Landscapes, f = 4, VQ, 512 px", "semantic_synthesis.zip", "semantic_synthesis"),
    _zoo("inpainting_big", "inpainting, Places, f = 4, VQ", "inpainting_big.zip"),
    _zoo("kl-f4", "first stage, OpenImages, f = 4, KL", "kl-f4.zip"),
    _zoo("kl-f8", "first stage, OpenImages, f = 8, KL", "kl-f8.zip"),
    _zoo("kl-f16", "first stage, OpenImages, f = 16, KL", "kl-f16.zip"),
    _zoo("kl-f32", "first stage, OpenImages, f = 32, KL", "kl-f32.zip"),
    _zoo("vq-f4", "first stage, OpenImages, f = 4, VQ", "vq-f4.zip"),
    _zoo("vq-f4-noattn", "first stage, OpenImages, f = 4, VQ, no attention", "vq-f4-noattn.zip"),
    _zoo("vq-f8", "first stage, OpenImages, f = 8, VQ", "vq-f8.zip"),
    _zoo("vq-f8-n256", "first stage, OpenImages, f = 8, VQ with 256 codes", "vq-f8-n256.zip"),
    _zoo("vq-f16", "first stage, OpenImages, f = 16, VQ", "vq-f16.zip"),
    Released("rdm768x768", "retrieval, f = 16, KL, 768 px", _README, f"{_COMPVIS}rdm/model.ckpt"),
    _hub("CompVis/ldm-celebahq-256", "unconditional, CelebA-HQ, f = 4, VQ, 256 px"),
    _hub("CompVis/ldm-text2im-large-256", "text, LAION-400M, f = 8, KL, 256 px"),
    _hub("CompVis/ldm-super-resolution-4x-openimages", "super-resolution x 4, OpenImages, f = 4, VQ"),
    _hub("CompVis/stable-diffusion-v1-4", "text, LAION, f = 8, KL, 512 px"),
    _hub("facebook/DiT-XL-2-256", "classes with guidance, ImageNet, f = 8, KL, 256 px"),
    _hub("facebook/DiT-XL-2-512", "classes with guidance, ImageNet, f = 8, KL, 512 px"),
    _hub("google/ddpm-cifar10-32", "unconditional, CIFAR-10, pixels, 32 px"),
    _hub("google/ddpm-celebahq-256", "unconditional, CelebA-HQ, pixels, 256 px"),
    _hub("google/ddpm-church-256", "unconditional, LSUN-Churches, pixels, 256 px"),
    _hub("google/ddpm-bedroom-256", "unconditional, LSUN-Bedrooms, pixels, 256 px"),
    _hub("nyu-visionx/RAE-dinov2-wReg-base-ViTXL-n08", "first stage, DINOv2-B and a decoder, f = 16"),
    _hub("nyu-visionx/RAE-dinov2-wReg-small-ViTXL-n08", "first stage, DINOv2-S and a decoder, f = 16"),
    _hub("stabilityai/sd-vae-ft-mse", "first stage, f = 8, KL"),
    _hub("stabilityai/sd-vae-ft-ema", "first stage, f = 8, KL"),
    _hub("stabilityai/sdxl-vae", "first stage, f = 8, KL"),
    _hub("mit-han-lab/dc-ae-f32c32-in-1.0-diffusers", "first stage, ImageNet, f = 32"),
    _hub("mit-han-lab/dc-ae-f64c128-in-1.0-diffusers", "first stage, ImageNet, f = 64"),
    Released(
        "SiT-XL-2-256x256", "classes with guidance, ImageNet, flow, 256 px", "the repository of SiT",
        "https://github.com/willisma/SiT", "SiT-XL-2-256x256.pt and a config.yaml (docs/today.md)",
    ),
)
# fmt: on
"""arXiv:2112.10752 and the README of CompVis/latent-diffusion; the best known folders of the hub."""


def released(path: str) -> Released | None:
    """Return the released model that a path speaks of: by its last part first, else a folder's."""
    known = {
        _plain(n): row for row in ZOO for n in (row.name, row.name.split("/")[-1], *row.others)
    }
    if _plain(path) in known:
        return known[_plain(path)]
    place = PurePosixPath(path.replace("\\", "/"))
    parts = [part for part in place.parts if part not in (".", "..", "/")]
    spoken = (_plain(name) for name in (place.stem, *reversed(parts)))
    return next((known[name] for name in spoken if name in known), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
