"""The configs of a diffusers folder, read alike by plan and loader; no torch.

What loads stands in the tables of diffusers_classes.py. A field that a folder is too old to have
takes the value that its pipeline had at that time, not the default of today's class, and is said
(`Assumed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sample import Schedule
from ldmbench.sample.flow import Flow
from ldmbench.schema.models import LatentRule
from ldmbench.sources.models.config_kinds import read_checked, values_of
from ldmbench.sources.models.diffusers_classes import (
    CROSSED,
    DENOISERS,
    DIT,
    ELSEWHERE,
    FIRST_STAGES,
    MODULATED,
    PIPELINES,
    RENAMED,
    SET_BY_PIPELINE,
    TEXTS,
    UNJOINED,
)
from ldmbench.sources.models.diffusers_networks import (
    check_named,
    check_network,
    first_stage,
    sized,
)
from ldmbench.sources.models.diffusers_schedule import (
    Assumed,
    checked_flow,
    checked_schedule,
    scheduler_config,
)
from ldmbench.sources.models.latent_rules import folder_rule
from ldmbench.sources.models.places import (
    UNSIZED,
    component,
    is_averaged,
    part_of,
    weights_in,
    weights_of,
)
from ldmbench.sources.models.shapes import check_folder_network
from ldmbench.sources.models.stage_sizes import (
    check_stage,
    fixed_side,
    image_channels,
    stage_channels,
    stage_factor,
)
from ldmbench.tensors.entries import open_weights
from ldmbench.tensors.slots import Slot

__all__ = ["APART", "CAPTION_ENCODER", "CARD", "FolderConfigs", "read_folder"]

CARD = "ldmbench.json"
CAPTION_ENCODER = "caption_encoder"
"""The component of a model trained here that reads captions; it needs no tokenizer."""
APART = "first_stage_apart"
"""What ldmbench.json says of a denoiser whose first stage lies in a folder of its own."""
_AT_TOP = (CARD, "model_index.json", "vocab.txt")


@dataclass(frozen=True)
class FolderConfigs:
    """What the configs of a folder say of its model.

    Attributes:
        root: the folder.
        pipeline: its pipeline; of a first stage alone its class.
        index: model_index.json, or what it would be.
        card: ldmbench.json, empty where there is none.
        network: config of the denoiser; empty for a first stage alone.
        stage: config of the first stage; empty in pixel space.
        scheduler: config of the scheduler, as the pipeline reads it.
        taken: what no file states, and what was taken for it.
        ema: whether averaged weights are wanted.
    """

    root: Path
    pipeline: str
    index: Mapping[str, Any]
    card: Mapping[str, Any]
    network: Mapping[str, Any]
    stage: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    taken: tuple[Assumed, ...]
    ema: bool = True

    @property
    def samples(self) -> bool:
        """Tell whether there is a denoiser."""
        return bool(self.network)

    @property
    def kind(self) -> Literal["kl", "vq", "tiny", "ae", "pixel"]:
        """Return vq, kl, tiny, ae or pixel."""
        return FIRST_STAGES[str(self.stage["_class_name"])].kind if self.stage else "pixel"

    @property
    def f(self) -> int:
        """Return the downsampling factor."""
        if "latents" in self.card:
            return LatentRule.model_validate(self.card["latents"]).f
        return stage_factor(self.stage) if self.stage else 1

    @property
    def channels(self) -> int:
        """Return the channels of a latent; in pixel space they are the network's own."""
        if "channels" in self.card:
            return int(self.card["channels"])
        if self.stage:
            return stage_channels(self.stage)
        inputs = int(self.network.get("in_channels") or 3)
        outputs = int(self.network.get("out_channels") or inputs)
        return inputs if outputs == 2 * inputs else outputs

    @property
    def joined(self) -> int:
        """Return how many channels join the latent."""
        default = 4 if self.network.get("_class_name") != "UNet2DModel" else 3
        return int(self.network.get("in_channels") or default) - self.channels

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of a latent at the resolution of training."""
        if not self.samples:
            fixed = fixed_side(self.stage)
            side = (fixed or _pair(self.stage.get("sample_size") or 256)[0]) // self.f
            return side, side
        default = 32 if DENOISERS[str(self.network["_class_name"])] == DIT else None
        return _pair(self.network.get("sample_size", default) or UNSIZED)

    @property
    def scale(self) -> float:
        """Return what latents are multiplied by; of a first stage alone 1."""
        if "scale" in self.card:
            return float(self.card["scale"])
        if not (self.stage and self.samples):
            return 1.0
        ruled = PIPELINES[self.pipeline]
        if ruled is not None and self.pipeline in SET_BY_PIPELINE:
            return ruled
        return float(self.stage["scaling_factor"])

    @property
    def latents(self) -> LatentRule | None:
        """Return how latents of its first stage become those that a denoiser sees."""
        stated = self.samples or "scale" in self.card
        return folder_rule(
            self.stage,
            self.card,
            kind=self.kind,
            f=self.f,
            channels=self.channels,
            model_scale=self.scale if stated else None,
            root=self.root,
        )

    @property
    def image_channels(self) -> tuple[int, int]:
        """Return the channels of images that go in, and of those that come out."""
        if not self.stage:
            return self.channels, self.channels
        return image_channels(self.stage)

    @property
    def weights(self) -> Literal["ema", "raw"]:
        """Return ema or raw: what the denoiser's weights are, or those of a first stage alone."""
        place = self.config_of(("unet", "transformer")) if self.samples else self.root
        names = [p.name for p in place.iterdir()]
        if "weights" in self.card and not any(".non_ema." in name for name in names):
            return cast("Literal['ema', 'raw']", str(self.card["weights"]))
        return "ema" if is_averaged(names, ema=self.ema) else "raw"

    @property
    def schedule(self) -> Schedule | None:
        """Return the diffusion in betas, or None of a flow."""
        place = _scheduler_place(self.root, self.index)
        return None if self.flow else checked_schedule(self.scheduler, place)

    @property
    def flow(self) -> Flow | None:
        """Return the flow, or None of a diffusion in betas."""
        found = self._flow
        return found[0] if found else None

    @property
    def time_scale(self) -> float:
        """Return what times are multiplied by before the network sees them."""
        found = self._flow
        return found[1] if found else float(self.card.get("time_scale", 1.0))

    @property
    def _flow(self) -> tuple[Flow, float] | None:
        return checked_flow(self.scheduler, self.card, _scheduler_place(self.root, self.index))

    @cached_property
    def conditioning(self) -> str:
        """Tell the task from the components: a text encoder, a label table, joined channels."""
        if not self.samples:
            return "none"
        stated = self.card.get("conditioning")
        if self._has("class_embedder") or (self._is_dit and stated != "none"):
            return "class"
        if self._has("rescaler"):
            return "semantic"
        if self.text is not None:
            return str(stated) if stated else self._prompted()
        if stated in ("inpainting", "image-to-image", "embedding"):
            return str(stated)
        labelled = self.network.get("num_class_embeds") is not None
        if "small_size" in self.card:
            return "class-image" if labelled else "image"
        if self.joined:
            return "image"
        return "class" if labelled else "none"

    @property
    def given(self) -> dict[str, str]:
        """Return how its condition was made of real images in training, as its card says."""
        return {str(k): str(v) for k, v in dict(self.card.get("given") or {}).items()}

    @property
    def text(self) -> str | None:
        """Return the component that reads prompts, captions or layouts."""
        return component(self.index, ("bert", "text_encoder", CAPTION_ENCODER))

    @property
    def classes(self) -> int | None:
        """Return the classes that labels, maps (background included) or layouts may have."""
        parts = {"semantic": ("rescaler", "in_channels", 0), "layout": ("bert", "vocab_size", -1)}
        if self.conditioning in parts:
            part, field, more = parts[self.conditioning]
            found = read_checked(part_of(self.root, part) / "config.json").get(field)
            return None if found is None else int(found) + more
        if self.conditioning not in ("class", "class-image"):
            return None
        if self._is_dit:
            return int(self.network.get("num_embeds_ada_norm") or 1000)
        if self._has("class_embedder"):
            return int(self._embedder()["n_classes"])
        return int(self.network["num_class_embeds"])

    @property
    def null_class(self) -> int | None:
        """Return the label that stands for no class."""
        if "null_class" in self.card:
            return int(self.card["null_class"])
        if self._is_dit:
            without = self.network.get("table") == self.classes  # no row for none
            return None if without else self.classes
        found = self._embedder().get("null_class") if self._has("class_embedder") else None
        return None if found is None else int(found)

    @property
    def networks(self) -> tuple[Path, ...]:
        """Return the places of all networks."""
        if not self.samples:
            return (self.root,)
        names = ("unet", "transformer", "vqvae", "vae", "bert", "text_encoder", CAPTION_ENCODER,
                 "class_embedder", "rescaler")  # fmt: skip
        return tuple(part_of(self.root, n) for n in names if self._has(n))

    @property
    def files(self) -> list[Path]:
        """Return the files that the model is read from; no other belongs to its digest."""
        found = {self.root / name for name in _AT_TOP}
        for place in self.networks:
            weights = weights_of(place, ema=self.ema)
            index = weights_in([p.name for p in place.iterdir()], ema=self.ema) or ""
            found |= {place / "config.json", place / index, *weights}
        for part in ("scheduler", "low_res_scheduler"):
            found.add(part_of(self.root, part) / "scheduler_config.json")
        for pattern in ("*.json", "*.txt", "*.model"):
            found |= set((self.root / "tokenizer").glob(pattern))
        return sorted(p for p in found if p.is_file())

    @property
    def weights_from(self) -> str:
        """Return the file of the denoiser's weights, or that of a first stage alone."""
        place = self.config_of(("unet", "transformer")) if self.samples else self.root
        name = weights_in([p.name for p in place.iterdir()], ema=self.ema) or ""
        return (place / name).relative_to(self.root).as_posix()

    def check_weights(self) -> None:
        """Hold the denoiser and the first stage to the shapes of their weights.

        Raises:
            InputError: a size that the weights contradict, or two shards with one tensor.
        """
        if self.samples:
            self._check_weights(self.config_of(("unet", "transformer")), self.network)
        if self.stage:
            place = self.config_of(("vqvae", "vae")) if self.samples else self.root
            self._check_weights(place, self.stage)

    def _check_weights(self, place: Path, config: Mapping[str, object]) -> None:
        slots: dict[str, Slot] = {}
        for file in weights_of(place, ema=self.ema):
            found = open_weights(file, ema=self.ema).slots
            twice = sorted(set(found) & set(slots))
            if twice:
                raise InputError(
                    f"{place} has {twice[0]} in two of its shards; take the one out that belongs to"
                    " another checkpoint"
                )
            slots |= found
        check_folder_network(config, slots, where=str(place))

    def config_of(self, names: tuple[str, ...]) -> Path:
        """Return the place of the first of some components that the folder has."""
        return part_of(self.root, component(self.index, names) or "")

    def _has(self, name: str) -> bool:
        return component(self.index, (name,)) is not None

    def _embedder(self) -> dict[str, Any]:
        return read_checked(part_of(self.root, "class_embedder") / "config.json")

    @property
    def _is_dit(self) -> bool:
        return DENOISERS[str(self.network["_class_name"])] in (DIT, MODULATED)

    def _prompted(self) -> str:
        kinds = {0: "text", 3: "upscaling", self.channels + 1: "inpainting"}
        if self.joined not in kinds:
            raise InputError(
                f"{self.root}: the UNet joins {self.joined} channels to a latent of"
                f" {self.channels} and takes a prompt too, as InstructPix2Pix and depth-to-image"
                " are, which is not supported; supported are 0 (text), 3 (upscaling) and"
                f" {self.channels + 1} (inpainting); {ELSEWHERE}"
            )
        return kinds[self.joined]


def read_folder(root: Path, *, ema: bool = True, apart: bool = False) -> FolderConfigs:
    """Read and check the configs of a diffusers folder.

    Args:
        root: with model_index.json, or with the config.json of a first stage, or of a UNet whose
            scheduler_config.json lies beside it.
        ema: whether averaged weights are wanted, where a component has both.
        apart: whether its first stage is read from another folder.

    Raises:
        InputError: a pipeline, network, condition or scheduler that is not supported, values that
            cannot be, or weights that are not there.
    """
    with values_of(root):
        found = replace(_read(root), ema=ema)
        if found.card.get(APART) and not apart:
            raise InputError(
                f"{root} holds a denoiser without its first stage, as a store keeps it; "
                "`ldmbench export CELL OUT` writes the whole model"
            )
        for place in found.networks:
            weights_of(place, ema=ema)
        found.check_weights()
    return found


def _read(root: Path) -> FolderConfigs:
    card = read_checked(root / CARD) if (root / CARD).is_file() else {}
    index = _index(root)
    if index is None:
        return _bare(root, card)
    name = str(index.get("_class_name"))
    pipeline = RENAMED.get(name, name)
    if pipeline not in PIPELINES:
        raise InputError(
            f"{root} is a '{name}'{nearest(name, PIPELINES)}, which is not supported; "
            f"there are: {', '.join(PIPELINES)}; {ELSEWHERE}"
        )
    part = component(index, ("unet", "transformer"))
    if part is None:
        raise InputError(f"{root} names neither a unet nor a transformer; nothing can sample")
    network = read_checked(part_of(root, part) / "config.json")
    check_network(network, part_of(root, part))
    stage, scaled = first_stage(root, index, pipeline, card)
    network, enlarged = sized(network, pipeline, part_of(root, part))
    scheduler, ruled = scheduler_config(
        _scheduler_place(root, index), index, card, pipeline=pipeline, latent=bool(stage)
    )
    taken = (*scaled, *enlarged, *ruled)
    found = FolderConfigs(root, pipeline, index, card, network, stage, scheduler, taken)
    _check_condition(found)
    _check_channels(found)
    check_named(index, part, network, root)
    found.schedule  # noqa: B018  checks the betas, or the flow
    found.size, found.f, found.image_channels  # noqa: B018  are numbers
    return found


def _index(root: Path) -> dict[str, object] | None:
    """Return model_index.json, what it would be of a UNet beside its scheduler, or None."""
    if (root / "model_index.json").is_file():
        return read_checked(root / "model_index.json")
    name = str(read_checked(root / "config.json").get("_class_name"))
    if name not in DENOISERS:
        return None
    places = [root / "scheduler_config.json", root / "scheduler" / "scheduler_config.json"]
    place = next((p for p in places if p.is_file()), None)
    if place is None:
        raise InputError(
            f"{root} holds a '{name}' without a scheduler; put its scheduler_config.json beside it"
            " (or give the pipeline's folder, with its model_index.json)"
        )
    part = "transformer" if DENOISERS[name] == DIT else "unet"
    scheduler = str(read_checked(place).get("_class_name"))
    pipeline = "DDPMPipeline" if scheduler.startswith("DDPM") else "DDIMPipeline"
    return {
        "_class_name": pipeline,
        part: ["diffusers", name],
        "scheduler": ["diffusers", scheduler],
    }


def _bare(root: Path, card: Mapping[str, object]) -> FolderConfigs:
    config = read_checked(root / "config.json")
    name = str(config.get("_class_name"))
    if name not in FIRST_STAGES:
        raise InputError(
            f"{root} holds a '{name}'{nearest(name, FIRST_STAGES)} alone; alone there load first"
            f" stages ({', '.join(FIRST_STAGES)}) and UNets beside their scheduler_config.json;"
            f" {ELSEWHERE}"
        )
    check_stage(config, root)
    return FolderConfigs(root, name, {}, card, {}, config, {}, ())


def _check_channels(found: FolderConfigs) -> None:
    """Refuse a denoiser of fewer channels than its latents, or of more that nothing feeds."""
    part, joined = found.config_of(("unet", "transformer")), found.joined
    of_latents = bool(found.stage) and "conditioning" not in found.card
    unfed = of_latents and joined != 0 and found.pipeline in UNJOINED
    if joined < 0 or unfed:
        raise InputError(
            f"{part} takes {found.channels + joined} channels, but latents of its first stage have"
            f" {found.channels}, and {found.pipeline} joins none to them; the two components are"
            " of different models"
        )
    returned = int(found.network.get("out_channels") or found.channels + joined)
    learned = str(found.scheduler.get("variance_type", "")).startswith("learned")
    if returned not in (found.channels, 2 * found.channels):
        raise InputError(
            f"{part} returns {returned} channels for latents of {found.channels}; allowed are"
            f" {found.channels}, or {2 * found.channels} with a learned variance"
        )
    if learned and returned == found.channels:
        raise InputError(
            f"{_scheduler_place(found.root, found.index)}: variance_type is"
            f" '{found.scheduler['variance_type']}', but {part} returns {returned} channels, and"
            f" none for a variance; write fixed_small or fixed_large"
        )


def _check_condition(found: FolderConfigs) -> None:
    """Refuse a denoiser that its condition leaves hungry, or that has no input for it."""
    kind, name = found.conditioning, str(found.network["_class_name"])
    part = found.config_of(("unet", "transformer"))
    if found.text not in (None, CAPTION_ENCODER):
        place = part_of(found.root, str(found.text))
        text = read_checked(place / "config.json")
        named = (text.get("architectures") or [text.get("model_type")])[0]
        if named not in TEXTS:
            raise InputError(
                f"{place} holds a '{named}'; text encoders are LDMBertModel and CLIPTextModel;"
                f" {ELSEWHERE}"
            )
    crossed = name in CROSSED
    if crossed and found.text is None and kind not in ("embedding", "class"):
        raise InputError(
            f"{part} is a '{name}', which needs a context, and the folder names no component that"
            " gives it one (text_encoder, bert or class_embedder)"
        )
    labelled = found.network.get("num_class_embeds") is not None
    if crossed and labelled and kind != "upscaling":
        raise InputError(
            f"{part}: num_class_embeds = {found.network['num_class_embeds']} beside"
            f" cross-attention asks for labels that are not given; {ELSEWHERE}"
        )


def _scheduler_place(root: Path, index: Mapping[str, object]) -> Path:
    part = component(index, ("scheduler",)) or "scheduler"
    return part_of(root, part) / "scheduler_config.json"


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, list | tuple):
        return int(value[0]), int(value[1])
    return int(value), int(value)
