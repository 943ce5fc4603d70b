"""Which CompVis configs load: one set of tables and checks for plan and loader; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sources.models.clip_config import CLIPS, find_text_config
from ldmbench.sources.models.compvis_config import class_of, params_of
from ldmbench.sources.models.compvis_plan import UNetPlan, plan_unet
from ldmbench.sources.models.diffusers_classes import ELSEWHERE
from ldmbench.sources.models.strangers import mentioned

__all__ = [
    "FIRST_STAGES",
    "PREDICTIONS",
    "SCHEDULES",
    "STATISTICS",
    "attention_kind",
    "check_model",
    "clips",
    "files_beside",
]

StageKind = Literal["kl", "vq", "pixel"]
FIRST_STAGES: dict[str, StageKind] = {
    "VQModel": "vq",
    "VQModelInterface": "vq",
    "AutoencoderKL": "kl",
    "IdentityFirstStage": "pixel",
}
_DIFFUSIONS = (
    "DDPM",
    "LatentDiffusion",
    "LatentInpaintDiffusion",
    "Layout2ImgDiffusion",
    "MinimalRETRODiffusion",
)
SCHEDULES: dict[str, Any] = {
    "cosine": "cosine",
    "linear": "scaled_linear",
    "sqrt": "array",
    "sqrt_linear": "linear",
}
"""CompVis' names of beta schedules -> ours."""
_UP = 4
STATISTICS = "latents_stats.pt"
PREDICTIONS: dict[str, Literal["epsilon", "sample", "v_prediction"]] = {
    "eps": "epsilon", "x0": "sample", "v": "v_prediction",
}  # fmt: skip
_KEYS = ("concat", "crossattn", "hybrid", "adm", "hybrid-adm", "crossattn-adm")
"""What CompVis feeds its UNets by."""
_ATTENTION_KINDS = ("vanilla", "linear", "none")
_CONDITIONS = (
    "BERTEmbedder",
    "ClassEmbedder",
    *CLIPS,
    "Identity",
    "SpatialRescaler",
    "TransformerEmbedder",
)
_CROSS = ("BERTEmbedder", "ClassEmbedder", *CLIPS, "TransformerEmbedder")
_JOINS = ("SpatialRescaler", "__is_first_stage__")


def check_model(content: Mapping[str, object], where: str) -> str:
    """Refuse a config that describes no model which loads.

    Args:
        content: the config.
        where: said in messages.

    Returns:
        The model's class.

    Raises:
        InputError: a class or a value that is not supported, with what is.
    """
    if "model" not in content:
        raise InputError(
            f"the config of {where} has no section 'model'; expected a CompVis config.yaml, "
            "or the flags of guided-diffusion (image_size, num_channels, ...)"
        )
    name = class_of(content["model"], where=f"section 'model' of the config of {where}")
    allowed = (*FIRST_STAGES, *_DIFFUSIONS)
    if name not in allowed:
        raise InputError(
            f"{where}: model target '{name}'{nearest(name, allowed)} is not supported; "
            f"there are: {', '.join(allowed)}; {ELSEWHERE}"
        )
    params = params_of(content["model"])
    if name in FIRST_STAGES:
        _check_stage(params, where, name)
        return name
    first = params.get("first_stage_config")
    if first is not None:
        kind = class_of(first, where=f"{where}: first_stage_config")
        if kind not in FIRST_STAGES:
            raise InputError(
                f"{where}: first stage '{kind}'{nearest(kind, FIRST_STAGES)} is not supported; "
                f"there are: {', '.join(FIRST_STAGES)}; {ELSEWHERE}"
            )
        if FIRST_STAGES[kind] != "pixel":
            _check_stage(params_of(first), where, kind)
    if name != "DDPM" and first is None:
        raise InputError(
            f"{where}: {name} without first_stage_config; name the first stage of its latents, or"
            " target ldm.models.diffusion.ddpm.DDPM of a model of pixels"
        )
    _check_schedule(params, where)
    _check_condition(params, _unet(params, where), where)
    _check_key(params, where)
    return name


def files_beside(content: Mapping[str, object], checkpoint: Path) -> dict[str, Path]:
    """Return the files that belong to a checkpoint: `text`, `first_stage`, `statistics`.

    Args:
        content: the config.
        checkpoint: the weights file.

    Raises:
        InputError: the checkpoint holds no first stage, and no file of one is there.
    """
    section = params_of(content.get("model")).get("cond_stage_config")
    found = {
        "text": find_text_config(section, checkpoint),
        "first_stage": _first_stage_file(content, checkpoint),
        "statistics": _statistics_file(content, checkpoint),
    }
    return {name: file for name, file in found.items() if file is not None}


def _statistics_file(content: Mapping[str, object], checkpoint: Path) -> Path | None:
    """Return the mean and std of latents beside a first stage alone, as VA-VAE's are kept."""
    section = content.get("model")
    if not (isinstance(section, Mapping) and "target" in section):  # flags of guided-diffusion
        return None
    named = class_of(section, where="section 'model'")
    place = checkpoint.parent / STATISTICS
    return place if named in FIRST_STAGES and place.is_file() else None


def _first_stage_file(content: Mapping[str, object], checkpoint: Path) -> Path | None:
    """Return the file of the first stage that a checkpoint lacks, as its `ckpt_path` names it.

    The name is looked for as it is, then from the checkpoint's folder and those above it, since
    CompVis' scripts run in the repository's root.
    """
    params = params_of(content.get("model"))
    first = params.get("first_stage_config")
    kind = class_of(first, where="first_stage_config") if first is not None else None
    if FIRST_STAGES.get(str(kind), "pixel") == "pixel":
        return None
    shared = params.get("cond_stage_config") == "__is_first_stage__"
    names = ["first_stage_model.", *(["cond_stage_model."] if shared else [])]
    if mentioned(checkpoint, names) != frozenset():
        return None
    stated = params_of(first).get("ckpt_path")
    if not isinstance(stated, str) or not stated:
        raise InputError(
            f"{checkpoint} holds no first stage (no tensor is called first_stage_model.*), and its"
            " config names no file of one; write ckpt_path: FILE into the params of"
            " first_stage_config"
        )
    folder = checkpoint.resolve().parent
    places = [base / stated for base in (folder, *list(folder.parents)[:_UP])]
    found = next((p for p in places if p.is_file() and p != checkpoint.resolve()), None)
    if found is None:
        raise InputError(
            f"{checkpoint} holds no first stage, and '{stated[:200]}', which ckpt_path of its"
            f" first_stage_config names, is not there; looked for it from {folder} and {_UP}"
            " folders above"
        )
    return found


def clips(name: str, params: Mapping[str, object]) -> bool:
    """Tell whether predictions of the clean image are clipped: DDPM does unless told otherwise.

    Latent models set clip_denoised to false, whatever their config says.

    Args:
        name: of the model's class.
        params: of the model.
    """
    return name == "DDPM" and bool(params.get("clip_denoised", True))


def attention_kind(dd: Mapping[str, object]) -> str:
    """Return vanilla, linear or none: the attention of a first stage."""
    named = "linear" if dd.get("use_linear_attn") else str(dd.get("attn_type", "vanilla"))
    return named.removesuffix("-xformers")  # another kernel for the same attention


def _check_stage(params: Mapping[str, object], where: str, name: str) -> None:
    dd = params.get("ddconfig")
    if not isinstance(dd, Mapping):
        raise InputError(f"{where}: the first stage's config has no ddconfig")
    if dd.get("give_pre_end"):
        raise InputError(
            f"{where}: give_pre_end (a decoder without its last layer) is not supported"
        )
    if attention_kind(dd) not in _ATTENTION_KINDS:
        raise InputError(
            f"{where}: attn_type '{dd['attn_type']}' is not supported; "
            f"there are: {', '.join(_ATTENTION_KINDS)}"
        )
    lacking = [k for k in ("ch", "ch_mult", "num_res_blocks", "z_channels") if k not in dd]
    if lacking:
        raise InputError(f"{where}: the first stage's ddconfig lacks {', '.join(lacking)}")
    if FIRST_STAGES[name] == "vq" and params.get("n_embed") is None:
        raise InputError(f"{where}: the first stage's config lacks n_embed")


def _unet(params: Mapping[str, object], where: str) -> UNetPlan:
    section = params.get("unet_config")
    kind = class_of(section, where=f"{where}: unet_config")
    if kind != "UNetModel":
        raise InputError(
            f"{where}: unet_config names '{kind}'; only UNetModel is supported; {ELSEWHERE}"
        )
    return plan_unet(params_of(section), where=where, size=params.get("image_size"))


def _check_schedule(params: Mapping[str, Any], where: str) -> None:
    name, predicts = params.get("beta_schedule", "linear"), params.get("parameterization", "eps")
    if name not in SCHEDULES:
        raise InputError(
            f"{where}: beta_schedule '{name}' is not supported; there are: {', '.join(SCHEDULES)}"
        )
    if predicts not in tuple(PREDICTIONS):
        raise InputError(f"{where}: parameterization '{predicts}' is not eps, x0 or v")
    ends = float(params.get("linear_start", 1e-4)), float(params.get("linear_end", 2e-2))
    if not all(0 <= beta <= 1 for beta in ends) or int(params.get("timesteps", 1000)) < 1:
        raise InputError(
            f"{where}: a schedule needs at least one timestep and betas in [0, 1], found"
            f" {params.get('timesteps', 1000)} from {ends[0]} to {ends[1]}"
        )
    share = float(params.get("v_posterior", 0.0))
    if share not in (0.0, 1.0):
        raise InputError(f"{where}: v_posterior = {share} is not supported; 0 or 1")


def _check_condition(params: Mapping[str, Any], plan: UNetPlan, where: str) -> None:
    """Refuse a cond stage that the UNet has no input for, or a UNet that it leaves hungry."""
    where = f"{where}: cond_stage_config"
    section = params.get("cond_stage_config", "__is_unconditional__")
    name, own = class_of(section, where=where), params_of(section)
    joined = plan.in_channels - int(params.get("channels", plan.out_channels))
    if name not in (*_CONDITIONS, "__is_first_stage__", "__is_unconditional__"):
        raise InputError(
            f"{where}: '{name}'{nearest(name, _CONDITIONS)} is not supported; "
            f"there are: {', '.join(_CONDITIONS)}, __is_first_stage__, __is_unconditional__;"
            f" {ELSEWHERE}"
        )
    inpainting = plan.out_channels + 1  # the masked latent and its mask
    crossed, both = plan.context is not None, name in CLIPS and joined == inpainting
    if name == "__is_unconditional__" and (joined or crossed):
        raise InputError(f"{where} says unconditional, but the UNet takes a condition")
    wants_cross = name in _CROSS or (name == "Identity" and not joined and plan.classes is None)
    wants_join = name in _JOINS or (name == "Identity" and joined > 0)
    if (wants_cross, wants_join or both) != (crossed, joined > 0):
        raise InputError(
            f"{where}: '{name}' does not fit the UNet, which joins {joined} channels to its latent "
            f"and has {'' if crossed else 'no '}cross-attention"
        )
    width = own.get("embed_dim" if name == "ClassEmbedder" else "n_embed", plan.context)
    if wants_cross and width != plan.context:
        raise InputError(
            f"{where}: '{name}' gives {width} channels, the UNet's context_dim is {plan.context}"
        )
    if plan.classes is not None and name not in ("__is_unconditional__", "Identity"):
        raise InputError(f"{where}: '{name}' together with num_classes is not supported")
    if name == "ClassEmbedder" and "embed_dim" not in own:
        raise InputError(f"{where}: '{name}' lacks embed_dim")
    _check_layer(name, own, where)


def _check_key(params: Mapping[str, Any], where: str) -> None:
    """Refuse a conditioning_key that CompVis does not know; the UNet itself shows how it is fed."""
    key = params.get("conditioning_key")
    if key is not None and key not in _KEYS:
        raise InputError(
            f"{where}: conditioning_key is '{key}'{nearest(str(key), _KEYS)}; allowed are"
            f" {', '.join(_KEYS)}, or null"
        )


def _check_layer(name: str, own: Mapping[str, object], where: str) -> None:
    layer = own.get("layer", "last")
    if name == "FrozenCLIPEmbedder" and layer != "last":
        raise InputError(f"{where}: CLIP's layer '{layer}' is not supported; only 'last' is")
    if name == "FrozenOpenCLIPEmbedder" and layer not in (None, "last", "penultimate"):
        raise InputError(f"{where}: OpenCLIP's layer is '{layer}'; allowed are last, penultimate")
