"""Diffusers folders: pipelines and bare first stages, read by name from a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest_files
from ldmbench.errors import InputError
from ldmbench.models.diffusers_parts import load_network, load_text, load_tokenizer
from ldmbench.models.diffusers_schedule import read_noising, read_schedule
from ldmbench.models.load_conditions import (
    ClassLabels,
    ClassTokens,
    Condition,
    ContextTensor,
    NoCondition,
    Prompts,
    TokenBoxes,
)
from ldmbench.models.load_images import (
    AlignedImage,
    EnlargedImage,
    MaskedImage,
    MaskedPrompt,
    SemanticMap,
    UpscaledPrompt,
)
from ldmbench.models.load_model import Info, Model
from ldmbench.models.load_stages import KL, VQ, FirstStage, Identity, Tiny
from ldmbench.models.places import UNSIZED, component, model_files, read_json
from ldmbench.registry import nearest

__all__ = ["CARD", "PIPELINES", "load_folder"]

CARD = "ldmbench.json"
PIPELINES = (
    "DDIMPipeline",
    "DDPMPipeline",
    "DiTPipeline",
    "DiffusionPipeline",
    "LDMPipeline",
    "LDMSuperResolutionPipeline",
    "LDMTextToImagePipeline",
    "PNDMPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionInpaintPipelineLegacy",
    "StableDiffusionPipeline",
    "StableDiffusionPipelineSafe",
    "StableDiffusionUpscalePipeline",
)
_STAGES: dict[str, Callable[[Any], FirstStage]] = {
    "AutoencoderKL": KL,
    "AutoencoderTiny": Tiny,
    "ProjectedAutoencoderKL": KL,
    "VQModel": VQ,
    "VariantVQModel": VQ,
}
_UNFED = ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim")
_UPSCALER_SCALE = 0.08333  # which its pipeline sets whatever the first stage's config says


def load_folder(folder: Path, *, tokenizer: Any = None) -> Model:
    """Load a diffusers folder.

    Args:
        folder: with model_index.json, or with the config.json of an autoencoder.
        tokenizer: takes the place of the folder's own.

    Raises:
        InputError: a pipeline, network or scheduler that is not supported; keys that do not fit.
    """
    try:
        if (folder / "model_index.json").is_file():
            return _load_pipeline(folder, tokenizer)
        return _load_bare(folder)
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        raise InputError(
            f"{folder}: its configs hold a value of the wrong kind, or lack one: {str(e)[:200]}"
        ) from e


def _load_pipeline(folder: Path, tokenizer: Any) -> Model:
    index = read_json(folder / "model_index.json")
    name = str(index.get("_class_name"))
    if name not in PIPELINES:
        raise InputError(
            f"{folder} is a '{name}'{nearest(name, PIPELINES)}, which is not supported; "
            f"there are: {', '.join(PIPELINES)}"
        )
    card = read_json(folder / CARD) if (folder / CARD).is_file() else {}
    stage = _stage(folder, index)
    part = component(index, ("unet", "transformer"))
    if part is None:
        raise InputError(f"{folder} names neither a unet nor a transformer; nothing can sample")
    network: Any = load_network(folder / part)
    _check_inputs(network, folder / part)
    channels = int(card.get("channels", _channels(stage, network.config)))
    condition = _condition(folder, index, card, network, channels, stage, tokenizer)
    schedule = read_schedule(folder, index, card)
    info = Info(
        f=_factor(stage),
        latent_shape=(channels, *_size(network.config.sample_size or UNSIZED)),
        digest=_digest(folder),
        source=f"diffusers:{name}",
        path=folder,
        quantize=str(card.get("quantize", "round")),
        scale=_scale(name, stage, card),
        schedule=schedule,
        timesteps=schedule.spacing,
        weights=str(card.get("weights", "raw")),
    )
    return Model(info, stage, network=network, condition=condition)


def _load_bare(folder: Path) -> Model:
    name = read_json(folder / "config.json").get("_class_name")
    if name not in _STAGES:
        raise InputError(
            f"{folder} holds a '{name}' alone; alone only first stages load: {', '.join(_STAGES)}"
        )
    network: Any = load_network(folder)
    stage = _STAGES[str(name)](network)
    factor = _factor(stage)
    side = _size(getattr(network.config, "sample_size", None) or 256)[0] // factor
    card = read_json(folder / CARD) if (folder / CARD).is_file() else {}
    width = getattr(network.config, "embed_dim", None) or getattr(
        network.config, "vq_embed_dim", None
    )
    channels = int(width or network.config.latent_channels)
    info = Info(
        f=factor,
        latent_shape=(channels, side, side),
        digest=_digest(folder),
        source=f"diffusers:{name}",
        path=folder,
        quantize=str(card.get("quantize", "round")),
        weights=str(card.get("weights", "raw")),
    )
    return Model(info, stage)


def _stage(folder: Path, index: Mapping[str, Any]) -> FirstStage:
    part = component(index, ("vqvae", "vae"))
    if part is None:
        return Identity()
    network: Any = load_network(folder / part)
    name = type(network).__name__
    if name not in _STAGES:
        raise InputError(f"{folder / part} is a '{name}'; first stages are {', '.join(_STAGES)}")
    return _STAGES[name](network)


def _condition(
    folder: Path,
    index: Mapping[str, Any],
    card: Mapping[str, Any],
    network: Any,
    channels: int,
    stage: FirstStage,
    tokenizer: Any,
) -> Condition:
    """Tell the task from the components: a text encoder, a label table, joined channels."""
    config, joined = network.config, network.config.in_channels - channels
    text = component(index, ("bert", "text_encoder"))
    if type(network).__name__ == "DiTTransformer2DModel":
        count = int(config.num_embeds_ada_norm)
        return ClassLabels(count, null_class=count)
    if component(index, ("class_embedder",)):
        return ClassTokens(load_network(folder / "class_embedder"))
    if component(index, ("rescaler",)):
        return SemanticMap(load_network(folder / "rescaler"))
    if text is not None:
        encoder: Any = load_text(folder / text)
        if card.get("conditioning") == "layout":
            return TokenBoxes(encoder)
        return _prompted(folder, index, card, text, encoder, joined, stage, tokenizer)
    if card.get("conditioning") == "inpainting":
        return MaskedImage(encode=stage.encode, channels=joined)
    if card.get("conditioning") == "embedding":
        return ContextTensor()
    classes = config.get("num_class_embeds")
    if "small_size" in card:
        large = _size(config.sample_size or UNSIZED)[0]
        return EnlargedImage(int(card["small_size"]), large, classes)
    if joined:
        return AlignedImage(joined)
    return NoCondition() if classes is None else ClassLabels(int(classes))


def _prompted(
    folder: Path,
    index: Mapping[str, Any],
    card: Mapping[str, Any],
    part: str,
    encoder: Any,
    joined: int,
    stage: FirstStage,
    tokenizer: Any,
) -> Condition:
    finder, length = load_tokenizer(folder, given=tokenizer, text=part, encoder=encoder)
    length = int(card.get("prompt_length", length))
    pad = int(card["prompt_pad"]) if "prompt_pad" in card else None
    prompts = Prompts(encoder, finder, length=length, name=part, pad=pad)
    if joined == 0:
        return prompts
    if joined == 3:
        noising = component(index, ("low_res_scheduler",))
        return UpscaledPrompt(
            prompts,
            noising=read_noising(folder, noising, index) if noising else None,
            largest=int(index.get("max_noise_level") or 350),
        )
    scale = float(stage.network.config.scaling_factor)
    return MaskedPrompt(prompts, encode=lambda x: stage.encode(x) * scale)


def _scale(pipeline: str, stage: FirstStage, card: Mapping[str, Any]) -> float:
    """Return what latents are multiplied by; the super-resolution pipeline alone does not."""
    if "scale" in card:
        return float(card["scale"])
    if stage.network is None or pipeline == "LDMSuperResolutionPipeline":
        return 1.0
    if pipeline == "StableDiffusionUpscalePipeline":
        return _UPSCALER_SCALE
    return float(stage.network.config.scaling_factor)


def _channels(stage: FirstStage, config: Any) -> int:
    """Return the latent's channels: the first stage's where there is one (sigma may be learned)."""
    if stage.network is None:
        learned = config.out_channels == 2 * config.in_channels
        return int(config.in_channels if learned else config.out_channels)
    config = stage.network.config
    own = config.get("embed_dim") or config.get("vq_embed_dim") or config.get("latent_channels")
    return int(own)


def _check_inputs(network: Any, where: Path) -> None:
    """Refuse networks that want inputs which no supported pipeline gives."""
    for name in _UNFED:
        if network.config.get(name) is not None:
            raise InputError(
                f"{where}: {name} = '{network.config[name]}' asks for inputs that are not given "
                "(Stable Diffusion XL and kin)"
            )


def _factor(stage: FirstStage) -> int:
    if stage.network is None:
        return 1
    config = stage.network.config
    widths = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    return int(2 ** (len(widths) - 1))


def _size(value: Any) -> tuple[int, int]:
    if isinstance(value, list | tuple):
        return int(value[0]), int(value[1])
    return int(value), int(value)


def _digest(folder: Path) -> str:
    return digest_files(model_files(folder), root=folder)
