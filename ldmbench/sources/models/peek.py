"""A model on disk, without loading it: its facts from its config files, and its digest; no torch.

A plan is made from these; the worker that loads the model holds them to what it found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from ldmbench.canonical import digest
from ldmbench.errors import InputError
from ldmbench.schema.models import ModelFacts
from ldmbench.sources.digests import file_digests
from ldmbench.sources.models.adm_config import is_adm, read_flags
from ldmbench.sources.models.checkpoint import look, marked
from ldmbench.sources.models.clip_config import CLIPS, blocks_taken
from ldmbench.sources.models.compvis_config import (
    class_of,
    find_config,
    geometry,
    params_of,
    plain,
    read_config,
    sides_of,
    written_config,
)
from ldmbench.sources.models.compvis_plan import plan_unet
from ldmbench.sources.models.compvis_process import latent_scale, read_schedule, unstated
from ldmbench.sources.models.compvis_rules import (
    FIRST_STAGES,
    PREDICTIONS,
    check_model,
    clips,
    files_beside,
)
from ldmbench.sources.models.config_kinds import values_of
from ldmbench.sources.models.diffusers_config import CAPTION_ENCODER, FolderConfigs, read_folder
from ldmbench.sources.models.hub import snapshot
from ldmbench.sources.models.latent_rules import checkpoint_rule
from ldmbench.sources.models.null_class import check_null_class
from ldmbench.sources.models.originals import Original, is_original, read_original
from ldmbench.sources.models.pipelines import PipelineFolder, is_pipeline, read_pipeline
from ldmbench.sources.models.places import SUFFIXES, checkpoint_in, is_folder, weights_of
from ldmbench.sources.models.shapes import check_compvis_stage, check_unet
from ldmbench.tensors.entries import Held, open_weights
from ldmbench.tensors.slots import Slot

__all__ = [
    "describe_checkpoint",
    "describe_folder",
    "describe_original",
    "describe_pipeline",
    "model_digest",
    "original_digest",
    "peek",
    "tokenizer_digest",
]

_CLIP, _BERT = "clip-vit-large-patch14", "bert-base-uncased"
_UNCOUNTED_CLASSES = 1000
_FIRST, _UNET_SIDE = "first_stage_model.", 32
RGB = 3
_SOLVERS_SHARE = (
    "algorithm_type",
    "beta_end",
    "beta_schedule",
    "beta_start",
    "num_train_timesteps",
    "prediction_type",
    "rescale_betas_zero_snr",
    "skip_prk_steps",
    "timestep_spacing",
)


def peek(
    path: Path,
    *,
    config: Path | None = None,
    ema: bool = True,
    ignore: Sequence[str] = (),
    tokenizer: Path | None = None,
    null_class: int | None = None,
) -> ModelFacts:
    """Return what the config files of a model say.

    Args:
        path: a diffusers folder, a checkpoint, or a folder that holds one.
        config: the checkpoint's config; None looks beside it.
        ema: whether averaged weights are wanted.
        ignore: patterns of tensors' names to leave out.
        tokenizer: of a prompted checkpoint; None looks beside it.
        null_class: the label for no class; None is what the files say.

    Raises:
        InputError: there is no model, or its configs do not say what is needed.
    """
    if is_pipeline(path):
        facts = describe_pipeline(read_pipeline(path))
    elif is_folder(path):
        facts = describe_folder(read_folder(path, ema=ema), tokenizer)
    else:
        facts = _peek_checkpoint(_checkpoint(path, ema=ema), config, ema, ignore, tokenizer)
    if null_class is None:
        return facts
    kind, classes, known = facts.conditioning, facts.classes, facts.null_class
    check_null_class(null_class, kind=kind, classes=classes, known=known, path=path)
    return facts.model_copy(update={"null_class": null_class})


def model_digest(
    path: Path, cache: Path | None = None, *, config: Path | None = None, ema: bool = True
) -> str:
    """Return the digest that the loaded model's `info.digest` will have.

    Args:
        path: as `peek`.
        cache: as in `source_digest`.
        config: as `peek`.
        ema: as `peek`.
    """
    if is_folder(path):
        files = read_pipeline(path).files if is_pipeline(path) else read_folder(path, ema=ema).files
        known = file_digests(files, cache)
        return digest({p.relative_to(path).as_posix(): known[p] for p in files})
    file = _checkpoint(path, ema=ema)
    if is_original(file):
        return original_digest(read_original(file, config=config, ema=ema), cache)
    beside = config or find_config(file)
    named = {"weights": file}
    if beside:
        named["config"] = beside
        named |= files_beside(read_config(beside, file), file)
    known = file_digests([*named.values()], cache)
    return digest({"config": digest(None)} | {name: known[p] for name, p in named.items()})


def tokenizer_digest(place: Path) -> str:
    """Return the digest of a tokenizer: a file, or the files of a folder."""
    files = sorted(p for p in place.iterdir() if p.is_file()) if place.is_dir() else [place]
    known = file_digests(files, None)
    return digest({p.name: known[p] for p in files})


def _checkpoint(path: Path, *, ema: bool) -> Path:
    if not path.exists():
        raise InputError(f"{path} is not there")
    file = checkpoint_in(path, ema=ema) if path.is_dir() else path
    if file.suffix not in SUFFIXES:
        raise InputError(
            f"{file} is no checkpoint by its name; allowed are {', '.join(SUFFIXES)}, or the"
            " folder of a diffusers model"
        )
    return file


# ---------------------------------------------------------------- CompVis, guided-diffusion


def _peek_checkpoint(
    file: Path, config: Path | None, ema: bool, ignore: Sequence[str], tokenizer: Path | None
) -> ModelFacts:
    if is_original(file):
        return describe_original(read_original(file, config=config, ema=ema, ignore=ignore))
    content = read_config(config, file)
    held = look(file, content, ema=ema, ignore=ignore)
    facts = describe_checkpoint(content, held, tokenizer)
    written = written_config(config, file)
    if written == content:
        return facts
    read = {"config": digest(plain(content))}  # references, or flags and numbers in quotes
    return facts.model_copy(update={"taken": {**facts.taken, **read}})


def describe_checkpoint(
    content: Mapping[str, object], held: Held, tokenizer: Path | None = None
) -> ModelFacts:
    """Return what a checkpoint's config and the names of its tensors say; plan and loader ask here.

    Args:
        content: of `read_config`.
        held: of `look`.
        tokenizer: of a prompted checkpoint; None looks beside it.

    Raises:
        InputError: the config does not say what is needed, or names what does not load.
    """
    file = held.path
    shared: dict[str, object] = {
        "quantize": "truncate",
        "weights": "ema" if held.averaged else "raw",
        "stage_weights": "ema" if held.whole else "raw",
        "weights_from": held.source,
        "left_out": held.left_out,
        "bytes": file.stat().st_size,
    }
    with values_of(file):
        if is_adm(content):
            return _peek_adm(content, str(file), held.slots, shared)
        return _peek_compvis(content, held, tokenizer, shared)


def _peek_adm(
    flags: Mapping[str, Any], where: str, slots: Mapping[str, Slot], shared: Mapping[str, Any]
) -> ModelFacts:
    read = read_flags(flags, where)
    check_unet(plan_unet(read.unet, where=where), slots, prefix="", where=where)
    labelled = read.classes is not None
    kinds = ("none", "class") if read.small is None else ("image", "class-image")
    return ModelFacts(
        source=f"{read.source}:UNetModel",
        f=1,
        sides=(read.size, read.size),
        image_channels=(read.channels, read.channels),
        conditioning=kinds[labelled],
        classes=read.classes,
        regularization="pixel",
        timesteps="leading",
        scheduler={
            "num_train_timesteps": read.schedule.T,
            "prediction_type": read.schedule.prediction,
        },
        scale=1.0,
        joined=0 if read.small is None else 3,
        assumed=tuple(map(str, read.taken)),
        taken={t.field: t.value for t in read.taken if t.value != t.today},
        process=read.schedule.config(),
        samples=True,
        **shared,
    )


def _peek_compvis(
    content: Mapping[str, object], held: Held, tokenizer: Path | None, known: Mapping[str, object]
) -> ModelFacts:
    file = held.path
    name = check_model(content, str(file))
    beside = files_beside(content, file)
    params = marked(params_of(content["model"]), held)
    shared: dict[str, Any] = {"source": f"compvis:{name}", **known}
    if name in FIRST_STAGES:
        check_compvis_stage(params, held.slots, kind=FIRST_STAGES[name], prefix="", where=str(file))
        f, channels, side = geometry(params)
        return ModelFacts(
            f=f,
            latents=checkpoint_rule(
                FIRST_STAGES[name],
                f=f,
                channels=channels,
                path=file,
                whole="statistics" in beside,
                scale=1.0,
            ),
            encodes=_encodes(held.slots),
            sides=(side * f, side * f),
            conditioning="none",
            regularization=FIRST_STAGES[name],
            codebook=params.get("n_embed"),
            image_channels=_image_channels(params),
            samples=False,
            **shared,
        )
    inner = params_of(params.get("first_stage_config"))
    f, _, _ = geometry(inner)
    unet = params_of(params.get("unet_config"))
    height, width = sides_of(params.get("image_size", unet.get("image_size", _UNET_SIDE)))
    conditioning, null = _compvis_condition(params, unet)
    kind = class_of(params.get("first_stage_config") or "", where="first_stage_config")
    channels = int(params.get("channels", unet["out_channels"]))
    taken = blocks_taken(params, held.slots, file)
    measured = latent_scale(params, held, where=str(file))
    scale = None if params.get("scale_by_std") else measured
    schedule = read_schedule(params, held, where=str(file), clips=clips(name, params))
    silent = unstated(params, held, file="the config")
    stage = FIRST_STAGES.get(kind, "pixel")
    _check_parts(params, held, stage, str(file))
    return ModelFacts(
        f=f,
        latents=checkpoint_rule(stage, f=f, channels=channels, path=file, whole=True, scale=scale),
        sides=(height * f, width * f),
        conditioning=conditioning,
        null_class=null,
        regularization=stage,
        codebook=inner.get("n_embed"),
        classes=_compvis_classes(conditioning, params, unet),
        timesteps="compvis",
        scheduler={
            "num_train_timesteps": int(params.get("timesteps", 1000)),
            "prediction_type": PREDICTIONS[params.get("parameterization", "eps")],
            "skip_prk_steps": True,
            **({"rescale_betas_zero_snr": True} if params.get("rescale_betas_zero_snr") else {}),
        },
        scale=scale,
        image_channels=_image_channels(inner) if inner else (channels, channels),
        joined=int(unet["in_channels"]) - channels,
        assumed=(*taken, *map(str, silent), *_sizes_differ(params, unet)),
        process=schedule.config(),
        taken={"text_blocks": "all"} if taken else {},
        samples=True,
        **_prompted(conditioning, params, file.parent, tokenizer),
        **shared,
    )


def _check_parts(params: Mapping[str, Any], held: Held, stage: str, where: str) -> None:
    """Hold UNet and first stage to their weights; refuse a first stage that nobody reads."""
    unet = plan_unet(params_of(params.get("unet_config")), where=where, size=_UNET_SIDE)
    check_unet(unet, held.slots, prefix="model.diffusion_model.", where=where)
    if stage != "pixel":
        inner = params_of(params.get("first_stage_config"))
        check_compvis_stage(inner, held.slots, kind=stage, prefix=_FIRST, where=where)
        return
    unread = [name for name in held.slots if name.startswith(_FIRST)]
    if unread:
        raise InputError(
            f"{where}: its config has no first stage, but the weights hold {len(unread)} tensors of"
            f" one ({unread[0]}, ...); name its class in first_stage_config"
        )


def _sizes_differ(params: Mapping[str, Any], unet: Mapping[str, Any]) -> tuple[str, ...]:
    """Say which size of latents is taken where model and UNet state two sizes, or none."""
    own, inner = params.get("image_size"), unet.get("image_size")
    if own is None and inner is None:
        return (f"the config does not state image_size: latents of {_UNET_SIDE} were taken",)
    if own is None or inner is None or sides_of(own) == sides_of(inner):
        return ()
    return (
        f"the config states image_size {own} and, for its UNet, {inner}: latents of {own} were"
        " taken, as the model's own field has it",
    )


def _image_channels(stage: Mapping[str, Any]) -> tuple[int, int]:
    """Return the channels of images that a first stage takes, and of those that it makes."""
    dd = stage.get("ddconfig") or {}
    return int(dd.get("in_channels", 3)), int(dd.get("out_ch", 3))


def _compvis_condition(
    params: Mapping[str, Any], unet: Mapping[str, Any]
) -> tuple[str, int | None]:
    """Return what the model is conditioned on, and its null class; as the loader tells them."""
    section = params.get("cond_stage_config", "__is_unconditional__")
    name, own = class_of(section, where="cond_stage_config"), params_of(section)
    joined = int(unet["in_channels"]) - int(params.get("channels", unet["out_channels"]))
    classes = int(own.get("n_classes", _UNCOUNTED_CLASSES))
    unfed = "image" if joined else "class" if unet.get("num_classes") else "embedding"
    layout = name == "TransformerEmbedder" or not own.get("use_tokenizer", True)
    return {
        "__is_unconditional__": ("none" if unet.get("num_classes") is None else "class", None),
        "__is_first_stage__": ("inpainting", None),
        "Identity": (unfed, None),
        "ClassEmbedder": ("class", None if classes == _UNCOUNTED_CLASSES else classes - 1),
        "SpatialRescaler": ("semantic", None),
        **dict.fromkeys(CLIPS, ("inpainting" if joined else "text", None)),
    }.get(name, ("layout" if layout else "text", None))


def _compvis_classes(
    conditioning: str, params: Mapping[str, object], unet: Mapping[str, object]
) -> int | None:
    """Return the classes that labels, maps (background included) or layouts may have."""
    own = params_of(params.get("cond_stage_config"))
    found = {
        "class": own.get("n_classes", unet.get("num_classes") or _UNCOUNTED_CLASSES),
        "semantic": own.get("in_channels", 3),
        "layout": int(own.get("vocab_size", 30522)) - 1,  # the last token stands for none
    }.get(conditioning)
    return None if found is None else int(found)


def _prompted(
    conditioning: str, params: Mapping[str, object], beside: Path, given: Path | None
) -> dict[str, Any]:
    if conditioning != "text":
        return {}
    kind = class_of(params.get("cond_stage_config", ""), where="cond_stage_config")
    return _tokenizer(given, beside, _CLIP if kind in CLIPS else _BERT)


def _tokenizer(given: Path | None, beside: Path, name: str) -> dict[str, Any]:
    """Say where the tokenizer lies, or what to do."""
    places = [given] if given else [beside / "tokenizer", beside / "vocab.txt"]
    place = next((p for p in places if p.exists()), None)
    if place:
        return {"tokenizer": str(place)}
    looked = ", ".join(map(str, places))
    return {"missing": f"needs the tokenizer of {name}, which is not there (looked for {looked})"}


# ---------------------------------------------------------------- DiT, SiT, REPA, LightningDiT


def describe_original(found: Original) -> ModelFacts:
    """Return what a checkpoint of these repositories says; plan and loader ask here.

    Args:
        found: of `read_original`.
    """
    stage = None if found.stage is None else peek(_stage_place(found), config=found.stage_config)
    source, held, network = found.source, found.held, found.network
    side = int(network["sample_size"]) * (source.f if stage is None else stage.f)
    schedule = found.schedule
    solvers = {"num_train_timesteps": schedule.T, "prediction_type": schedule.prediction,
               "timestep_spacing": schedule.spacing} if schedule else {}  # fmt: skip
    return ModelFacts(
        source=f"{source.name}:{source.network}",
        f=source.f if stage is None else stage.f,
        sides=(side, side),
        conditioning="class",
        classes=int(network["num_embeds_ada_norm"]),
        null_class=found.null_class,
        regularization="kl" if stage is None else stage.regularization,
        codebook=None if stage is None else stage.codebook,
        quantize=source.quantize,
        timesteps=schedule.spacing if schedule else None,
        scheduler=solvers,
        process=schedule.config() if schedule else {},
        flow=asdict(found.flow) if found.flow else {},
        guidance_interval=found.interval,
        guided_channels=source.guided,
        scale=found.scale if isinstance(found.scale, float) and not found.bias else 1.0,
        weights="ema" if held.averaged else "raw",
        weights_from=held.source,
        left_out=held.left_out,
        assumed=found.assumed,
        missing=found.lacks or None,
        samples=True,
        bytes=found.file.stat().st_size + (0 if stage is None else stage.bytes),
    )


def original_digest(found: Original, cache: Path | None = None) -> str:
    """Return the digest of a checkpoint, its config, its first stage and its statistics.

    Args:
        found: of `read_original`.
        cache: as in `source_digest`.
    """
    named = {"weights": found.file}
    named |= {} if found.config_file is None else {"config": found.config_file}
    named |= {} if found.stats is None else {"latents_stats": found.stats}
    known = file_digests([*named.values()], cache)
    read = {name: known[place] for name, place in named.items()}
    if found.config_file is None:
        read["config"] = digest(plain(found.config))
    if found.stage is not None:
        place = _stage_place(found)
        read["first_stage"] = model_digest(place, cache, config=found.stage_config)
    return digest(read)


def _stage_place(found: Original) -> Path:
    """Return where the first stage lies; a hub id is looked for in the hub's cache."""
    stage = found.stage
    assert stage is not None
    return stage if isinstance(stage, Path) else snapshot(stage)


# ---------------------------------------------------------------- diffusers


def describe_folder(found: FolderConfigs, tokenizer: Path | None = None) -> ModelFacts:
    """Return what the configs of a diffusers folder say; plan and loader ask here.

    Args:
        found: of `read_folder`.
        tokenizer: of a prompted model; None looks in the folder.
    """
    height, width = found.size
    sampled: dict[str, Any] = {}
    if found.samples:
        prompts = _BERT if found.text == "bert" else _CLIP
        sampled = {
            "classes": found.classes,
            "null_class": found.null_class,
            "timesteps": found.schedule.spacing if found.schedule else None,
            "flow": asdict(found.flow) if found.flow else {},
            "guidance_interval": found.card.get("guidance_interval"),
            "scheduler": _solvers_share(found.scheduler),
            "process": found.schedule.config() if found.schedule else {},
            "joined": RGB if "small_size" in found.card else found.joined,
            "given": found.given,
            "assumed": tuple(map(str, found.taken)),
            "taken": {t.field: t.value for t in found.taken if t.value != t.today},
        }
        if found.conditioning == "text" and found.text != CAPTION_ENCODER:
            sampled |= _tokenizer(tokenizer, found.root, prompts)
    return ModelFacts(
        source=f"diffusers:{found.pipeline}",
        f=found.f,
        sides=(height * found.f, width * found.f),
        conditioning=found.conditioning,
        regularization=found.kind,
        codebook=int(found.stage.get("num_vq_embeddings", 256)) if found.kind == "vq" else None,
        quantize=found.card.get("quantize", "round"),
        weights=found.weights,
        weights_from=found.weights_from,
        scale=found.scale,
        latents=found.latents,
        encodes=found.samples or _folder_encodes(found),
        image_channels=found.image_channels,
        samples=found.samples,
        bytes=sum(p.stat().st_size for n in found.networks for p in weights_of(n, ema=found.ema)),
        **sampled,
    )


def describe_pipeline(found: PipelineFolder) -> ModelFacts:
    """Return what a pipeline's folder says; plan and loader ask here.

    Args:
        found: of `read_pipeline`.
    """
    kinds: dict[str, Literal["kl", "tiny"]] = {"AutoencoderKL": "kl", "AutoencoderDC": "tiny"}
    kind = kinds.get(str(found.stage.get("_class_name"))) if found.family else None
    assumed = []
    if found.family in ("pixart", "sana"):
        words = "clean_caption and use_resolution_binning of `call` turn it on"
        assumed.append(f"{found.name}: prompts are not cleaned, sizes not binned; {words}")
    if found.guides_by_true_scale:
        words = "negative_prompt of `call` names another"
        assumed.append(f"{found.name}: guidance is true_cfg_scale, against the prompt ''; {words}")
    return ModelFacts(
        source=f"diffusers:{found.name}",
        f=found.f,
        sides=(found.side, found.side),
        step=found.step,
        own=True,
        conditioning="text",
        regularization=kind or "pixel",
        quantize="round",
        scale=float(found.stage.get("scaling_factor") or 1.0) if kind else 1.0,
        assumed=tuple(assumed),
        weights="raw",
        samples=True,
        bytes=found.bytes,
    )


def _folder_encodes(found: FolderConfigs) -> bool:
    """Tell whether a first stage alone has its encoder."""
    files = weights_of(found.root, ema=found.ema)
    return any(_encodes(open_weights(file, ema=found.ema).slots) for file in files)


def _encodes(names: Iterable[str]) -> bool:
    return any(name.startswith("encoder.") for name in names)


def _solvers_share(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by which a sampler is refused; given betas by their number alone."""
    found = {name: scheduler[name] for name in _SOLVERS_SHARE if name in scheduler}
    if scheduler.get("trained_betas") is not None:
        found["num_train_timesteps"] = len(scheduler["trained_betas"])
    return found
