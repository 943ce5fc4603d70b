"""Folders of diffusers pipelines that are sampled by their own call: what they are; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.models.diffusers_classes import ELSEWHERE, PIPELINES, RENAMED
from ldmbench.sources.models.pipeline_classes import PipelineClass, has_class, pipeline_class
from ldmbench.sources.models.places import read_json, weights_of

__all__ = ["INTERFACED", "PipelineFolder", "check_call", "is_pipeline", "read_pipeline"]

INTERFACED = {
    "FluxPipeline": "flux",
    "PixArtAlphaPipeline": "pixart",
    "PixArtSigmaPipeline": "pixart",
    "SanaPipeline": "sana",
    "StableDiffusion3Pipeline": "sd3",
    "StableDiffusionXLPipeline": "sdxl",
}
"""Pipelines whose networks `load` gives, too -> their family."""
_BY_SUITE = (
    "prompt", "generator", "latents", "num_inference_steps", "guidance_scale", "height", "width",
    "output_type", "return_dict", "num_images_per_prompt",
)  # fmt: skip
"""Arguments of a call that a suite sets by fields of its own."""
_UNWRITTEN = ("callback", "callback_on_step_end", "callback_steps", "image", "mask_image")
_ABSENT = {"StableDiffusion3Pipeline": ("text_encoder_3", "tokenizer_3")}
"""Components that a pipeline does without where its folder has null for them."""
_MODELS = ("config.json",)
_TEXTS = (".json", ".txt", ".model", ".jinja")
_SIDE = 1024
"""Of images where a denoiser states no size, as such pipelines have it."""


def is_pipeline(root: Path) -> bool:
    """Tell whether a folder is a pipeline that its own call samples."""
    place = root / "model_index.json"
    if not place.is_file():
        return False
    try:
        name = read_json(place).get("_class_name")
    except InputError:
        return False
    return not isinstance(name, str) or RENAMED.get(name, name) not in PIPELINES


@dataclass(frozen=True)
class PipelineFolder:
    """What the files of a pipeline's folder say.

    Attributes:
        root: the folder.
        source: its class, as the installed diffusers has it.
        components: name -> (library, class), of those that it has.
    """

    root: Path
    source: PipelineClass
    components: Mapping[str, tuple[str, str]]

    @property
    def name(self) -> str:
        """Return the name of its class."""
        return self.source.name

    @property
    def family(self) -> str | None:
        """Return its row of INTERFACED."""
        return INTERFACED.get(self.name)

    @cached_property
    def denoiser(self) -> Mapping[str, Any]:
        """Return the config of its denoiser, empty where it is called otherwise."""
        return self._config(("transformer", "unet"))

    @cached_property
    def stage(self) -> Mapping[str, Any]:
        """Return the config of its first stage, empty where it has none."""
        return self._config(("vae", "vqvae", "movq"))

    @cached_property
    def scheduler(self) -> Mapping[str, Any]:
        """Return the config of its scheduler, empty where it has none."""
        place = self.root / "scheduler" / "scheduler_config.json"
        return read_json(place) if place.is_file() else {}

    @property
    def f(self) -> int:
        """Return the downsampling factor of its first stage, 1 where its config does not say it."""
        for field in ("block_out_channels", "encoder_block_out_channels"):
            if self.stage.get(field):
                return int(2 ** (len(self.stage[field]) - 1))
        steps = self.stage.get("temperal_downsample")
        return int(2 ** len(steps)) if steps else 1

    @property
    def channels(self) -> int:
        """Return the channels of a latent, 1 where its shape is not known."""
        found = self.stage.get("latent_channels") if self.family else None
        return int(found or 1)

    @property
    def side(self) -> int:
        """Return the side of its images where nobody asks for another."""
        found = self.denoiser.get("sample_size")
        found = found[0] if isinstance(found, list) else found
        return int(found) * self.f if isinstance(found, int) else _SIDE

    @property
    def step(self) -> int:
        """Return what the sides of its images must be multiples of."""
        if self.family == "sana":
            return math.lcm(32, self.f)
        patch = 2 if self.family == "flux" else int(self.denoiser.get("patch_size") or 1)
        return math.lcm(8, self.f * patch)

    @property
    def guides_by_true_scale(self) -> bool:
        """Tell whether true_cfg_scale guides, guidance_scale being of other networks only."""
        known = self.source.arguments
        return "true_cfg_scale" in known and known.get("guidance_scale") is None

    @property
    def files(self) -> list[Path]:
        """Return the files that it is read from; no other belongs to its digest."""
        found = [self.root / "model_index.json"]
        for name in self.components:
            place = self.root / name
            found += [p for p in place.iterdir() if p.is_file() and p.suffix in _TEXTS]
            if (place / "config.json").is_file():
                found += weights_of(place)
        return sorted(set(found))

    @property
    def bytes(self) -> int:
        """Return the bytes of its weights."""
        return sum(p.stat().st_size for p in self.files if p.suffix == ".safetensors")

    @property
    def variant(self) -> str | None:
        """Return the variant of its weights where they are of no other: fp16, ..."""
        names = [p.name for p in self.files if p.suffix == ".safetensors"]
        found = {name.split(".")[1] for name in names if name.count(".") == 2}
        return next(iter(found), None)

    def _config(self, names: tuple[str, ...]) -> Mapping[str, object]:
        part = next((n for n in names if n in self.components), None)
        return read_json(self.root / part / "config.json") if part else {}


def read_pipeline(root: Path) -> PipelineFolder:
    """Read what the folder of a pipeline says, and refuse what would run code of its own.

    Args:
        root: with model_index.json.

    Raises:
        InputError: a class that the installed libraries do not have, or a component that is
            missing.
    """
    index = read_json(root / "model_index.json")
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise InputError(
            f"{root} names a class of its own code ({name}), which is not run; {ELSEWHERE}"
        )
    try:
        source = pipeline_class(name)
    except InputError as error:
        raise InputError(f"{root}: {error}") from None
    found: dict[str, tuple[str, str]] = {}
    spared = _ABSENT.get(name, ())
    for part in source.components:
        entry = index.get(part)
        if isinstance(entry, list) and len(entry) == 2 and all(isinstance(e, str) for e in entry):
            found[part] = _checked(root, part, *entry)
        elif _must_be(part, source) and not (entry == [None, None] and part in spared):
            raise InputError(
                f"{root} is a {name} without its component {part}; get the whole folder;"
                f" {ELSEWHERE}"
            )
    folder = PipelineFolder(root, source, found)
    if not folder.denoiser:
        raise InputError(
            f"{root} is a {name}, which has neither a transformer nor a unet of its own;"
            f" {ELSEWHERE}"
        )
    for part in found:
        if (root / part / "config.json").is_file():
            _safe(root / part)
    return folder


def check_call(folder: PipelineFolder, call: Mapping[str, object]) -> None:
    """Refuse arguments that a pipeline's call does not take, or that fields of a suite set.

    Args:
        folder: of `read_pipeline`.
        call: argument -> value.

    Raises:
        InputError: with the arguments that may stand there.
    """
    known = folder.source.arguments
    open_ = [n for n in known if n not in (*_BY_SUITE, *_UNWRITTEN) and not n.endswith("embeds")]
    for name in call:
        if name in _BY_SUITE:
            raise InputError(
                f"found {name} in call, which the suite sets (sample.steps, sample.guidance, its"
                " data set and seeds); leave it out"
            )
        if name not in open_:
            raise InputError(
                f"found {name} in call, which a {folder.name} does not take; allowed are"
                f" {', '.join(open_)}"
            )


def _must_be(part: str, source: PipelineClass) -> bool:
    """Tell whether nothing is sampled without a component; without a text encoder nothing is."""
    return part not in source.optional or part in ("text_encoder", "tokenizer")


def _checked(root: Path, part: str, library: str, name: str) -> tuple[str, str]:
    """Refuse a component whose class is not the installed libraries', or that is not there."""
    if library not in ("diffusers", "transformers") or not has_class(library, name):
        raise InputError(
            f"{root} names {library}.{name} for its component {part}, which is no class of the"
            " installed diffusers and transformers; code of a folder is not run"
        )
    place = root / part
    files = [p.name for p in place.iterdir()] if place.is_dir() else []
    if not any(n.endswith((".json", ".model", ".txt")) for n in files):
        raise InputError(
            f"{root} has no files for its component {part} (looked for {place}); get the whole"
            " folder"
        )
    return library, name


def _safe(place: Path) -> None:
    """Refuse weights that are no safetensors, which the libraries would unpickle."""
    odd = [p.name for p in weights_of(place) if p.suffix != ".safetensors"]
    if odd:
        raise InputError(
            f"{place} has its weights in {odd[0]}; a pipeline is loaded from .safetensors alone"
        )
