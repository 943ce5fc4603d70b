"""The one-line signature of a score: how the number was made, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from ldmbench.canonical import digest
from ldmbench.catalog.metrics import FAMILIES, SCORES
from ldmbench.schema.params import (
    AnySource,
    CallSource,
    DatasetParams,
    FeaturesParams,
    FileFeatures,
    InterpolatedParams,
    LoadedDenoiser,
    NeighboursParams,
    OwnScoresParams,
    ReconstructionsParams,
    SamplesParams,
    Sampling,
    Scores,
    ScoresParams,
    ShapesSource,
)
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.sample import factors_of
from ldmbench.schema.signature import Signature
from ldmbench.schema.stage import Stage
from ldmbench.store.disk import Address, Store
from ldmbench.store.provenance import captions_digest, images_digest

DIGITS = 8


def signature(
    metric: str,
    scores: Stage,
    stages: Mapping[str, Stage],
    store: Store,
    protocol: Protocol | None = None,
) -> Signature:
    """Return the signature of one metric of a scores stage, such as fid|v1|feat:...|n:5000|...

    Args:
        metric: the metric's name.
        scores: the stage that computed it.
        stages: every stage of the plan, by key.
        store: where the digests of real images and captions are read.
        protocol: under which it was computed; what it pins of the samples is shown too.
    """
    params, generated = scores.params, stages[scores.inputs["generated"].key]
    assert isinstance(params, Scores)
    family = FAMILIES[params.family] if isinstance(params, ScoresParams) else None
    kept = _kept(scores, store)
    fields: dict[str, str | int | None] = {}
    if generated.kind == "features":
        sides = [i.key for role, i in scores.inputs.items() if role.split(":")[0] == "generated"]
        fields["feat"] = "+".join(_extractor(stages[key]) for key in sides)
        fields["patch"] = _patch(generated)
    elif isinstance(params, ScoresParams) and family and family.networks:
        network = "detector" if "detector" in params.options else family.networks.field
        weights = digest(params.weights)[:DIGITS]
        fields["feat"] = f"{network}-{params.options[network]}@{weights}"
    if family and family.against == "caption":
        fields["text"] = _captions(scores, stages, store, kept.get("generated/captions"))
    reals = _reals(scores, stages, store)
    fields["ref"] = reals.get("ref")
    fields["n"] = least = scores.inputs["generated"].count or 0
    fields |= reals
    if isinstance(m := reals.get("m"), int):
        least = min(least, m)
    fields["cropped"] = _cropped(generated, stages)
    fields["quant"] = _quantisation(generated, stages)
    fields["posterior"] = _posterior(generated, stages)
    fields["neighbours"] = _neighbours(generated, stages)
    fields["model"] = _loaded(generated, stages)
    fields["guided"] = _interval(generated, stages)
    fields["guide"] = _guide(generated, stages)
    fields |= _pinned(generated, stages, protocol)
    fields["dtype"] = "f32" if _precision(generated) == "float32" else "bf16"
    if protocol and protocol.file:
        fields["protocol"] = protocol.file
    if isinstance(params, OwnScoresParams):
        fields["code"] = params.digest[:DIGITS]
    else:
        fields |= SCORES[metric].signature_fields(params.keyed(), least)
    parts = ((name, str(value)) for name, value in fields.items() if value is not None)
    return Signature(metric, f"v{scores.version}", tuple(parts))


def _reals(scores: Stage, stages: Mapping[str, Stage], store: Store) -> dict[str, str | int | None]:
    """Return what signatures say of the real images: reference, training and validation."""
    fields: dict[str, str | int | None] = {}
    kept = _kept(scores, store)
    for role, name, size in (
        ("reference", "ref", "m"),
        ("train", "train", "t"),
        ("validation", "val", "v"),
    ):
        item = scores.inputs.get(role)
        if item is None:
            continue
        stage = stages[item.key]
        fields[name] = name_of(stage, stages, store, item.count, kept=kept.get(f"{role}/images"))
        fields[size] = item.count
        if role == "reference":
            if isinstance(stage.params, FileFeatures) and stage.params.statistics:
                fields[size] = "statistics"
            real = dataset_under(stage, stages)
            fields["crop"], fields["resize"] = source_under(real, stages).preparation
            fields["prepare"] = real.local.prepare
    return fields


def name_of(
    images: Stage,
    stages: Mapping[str, Stage],
    store: Store,
    count: int | None = None,
    *,
    kept: str | None = None,
) -> str:
    """Return how signatures name real images: what they are, and a digest of them.

    Where nothing is left that tells their digest, the key of their dataset stands for it.

    Args:
        images: their dataset stage, or the features of them.
        stages: every stage of the plan, by key.
        store: where their digests are read.
        count: how many of them are used, from the first; None: all that are planned.
        kept: their digest, where scores keep it.
    """
    if isinstance(images.params, FileFeatures) and images.params.ref:
        return images.local.refs.get(str(count), images.params.ref)
    dataset = dataset_under(images, stages)
    known = kept or images_digest(images, stages, store, count)
    mark = known[:DIGITS] if known else f"key-{dataset.key[:DIGITS]}"
    return f"{_title(dataset)}@{mark}"


def _kept(scores: Stage, store: Store) -> Mapping[str, str]:
    """Return the digests of images and captions that scores keep (`store/provenance.py`)."""
    manifest = store.lookup(Address(scores.kind, scores.key))
    return manifest.input_digests if manifest else {}


def _captions(
    scores: Stage, stages: Mapping[str, Stage], store: Store, kept: str | None
) -> str | None:
    """Return how signatures name the captions that samples are compared with, if they are known."""
    made = scores.inputs["generated"]
    known = kept or captions_digest(stages[made.key], stages, store, made.count or 0)
    return known[:DIGITS] if known else None


def _extractor(features: Stage) -> str:
    assert isinstance(features.params, FeaturesParams)
    return f"{features.params.extractor}@{features.params.weights[:DIGITS]}"


def _patch(features: Stage) -> str | None:
    """Return the patches of a sample that scores see in turn, where they do not see all of it."""
    assert isinstance(features.params, FeaturesParams)
    patches = features.params.patches
    return None if patches == "1" else "grid-{}x{}-in-turn".format(*factors_of(patches))


def _precision(generated: Stage) -> str:
    """Return the precision of features, or of samples that are compared themselves."""
    params = generated.params
    return params.precision if isinstance(params, FeaturesParams | Sampling) else "float32"


def dataset_under(stage: Stage, stages: Mapping[str, Stage]) -> Stage:
    """Return the dataset that images or features come from."""
    while stage.kind != "dataset":
        stage = stages[stage.inputs["images"].key]
    return stage


def source_under(stage: Stage, stages: Mapping[str, Stage]) -> AnySource:
    """Return the source of the images that a stage, or features of it, are of."""
    params = dataset_under(stage, stages).params
    assert isinstance(params, DatasetParams)
    return params.source


def _images_under(stage: Stage, stages: Mapping[str, Stage]) -> Stage:
    """Return the images that features were extracted from, or the stage itself."""
    while stage.kind == "features":
        stage = stages[stage.inputs["images"].key]
    return stage


def _title(dataset: Stage) -> str:
    params = dataset.params
    assert isinstance(params, DatasetParams)
    source = params.source
    kind = source.target.rpartition(":")[2] if isinstance(source, CallSource) else source.kind
    texture = source.texture if isinstance(source, ShapesSource) else "plain"
    fine = "" if texture == "plain" else f"-{texture}"
    size = source.resolution if params.window is None else "{}x{}".format(*params.window)
    return f"{kind}{size}{fine}-{params.split}"


def _cropped(generated: Stage, stages: Mapping[str, Stage]) -> str | None:
    """Return how samples that were given were cropped and resized, if they were."""
    made = _images_under(generated, stages).params
    crop, resize = made.source.preparation if isinstance(made, DatasetParams) else ("none", "none")
    return None if crop in ("none", "given") else f"{crop},{resize}"


def _quantisation(generated: Stage, stages: Mapping[str, Stage]) -> str | None:
    stage = _images_under(generated, stages)
    made = stage.params
    if isinstance(made, NeighboursParams):
        return None  # of latents that nothing decodes
    if isinstance(made, SamplesParams) and stage.local.own:
        return "round"  # as diffusers' pipelines make pictures
    if isinstance(made, SamplesParams | ReconstructionsParams):
        return str(made.quantize)
    return "round"


def _posterior(generated: Stage, stages: Mapping[str, Stage]) -> str | None:
    """Return what of a posterior was decoded, where that is not its mode."""
    made = _images_under(generated, stages).params
    if not isinstance(made, ReconstructionsParams | NeighboursParams):
        return None
    return None if made.posterior == "mode" else made.posterior


def _neighbours(generated: Stage, stages: Mapping[str, Stage]) -> str | None:
    """Return the training latents that were near, and how far latents were moved, if they were."""
    stage = _images_under(generated, stages)
    made = stage.params
    if not isinstance(made, InterpolatedParams | NeighboursParams):
        return None
    seen = _title(dataset_under(stages[stage.inputs["train"].key], stages))
    near = f"{made.neighbours}-of-{made.train}-{seen}"
    if isinstance(made, NeighboursParams):
        return near
    return f"{near},slerp{made.alpha:g},seed{made.seed}"


def _interval(generated: Stage, stages: Mapping[str, Stage]) -> str | None:
    """Return the times at which samples were guided, where not all were."""
    made = _images_under(generated, stages).params
    interval = made.guidance_interval if isinstance(made, SamplesParams) else None
    return None if interval is None else f"{interval[0]:g}-{interval[1]:g}"


def _guide(generated: Stage, stages: Mapping[str, Stage]) -> str | None:
    """Return the model that guided samples: of which weights, and at which share of its budget."""
    stage = _images_under(generated, stages)
    below = stage.inputs.get("guide")
    if below is None or not isinstance(stage.params, SamplesParams):
        return None
    model, progress = stages[below.key].params, stage.params.guide_progress
    mark = model.loaded if isinstance(model, LoadedDenoiser) else below.key
    return mark[:DIGITS] + ("" if progress == 1 else f",{progress:g}")


def _loaded(generated: Stage, stages: Mapping[str, Stage]) -> str | None:
    """Return the rules a loaded model was sampled by: step rule, weights, null class."""
    stage = _images_under(generated, stages)
    below = stage.inputs.get("denoiser")
    model = stages[below.key].params if below else None
    if not isinstance(model, LoadedDenoiser):
        return None
    assert isinstance(stage.params, SamplesParams)
    null = "" if model.null_class is None else f",null{model.null_class}"
    given = "".join(f",{name}-{value}" for name, value in model.given.items())
    guided = "" if model.guided_channels is None else f",guided{model.guided_channels}"
    rule = f"{stage.params.timesteps or 'own'}-steps"
    return f"{rule},{model.weights}{null}{guided}{given}"


def _pinned(
    generated: Stage, stages: Mapping[str, Stage], protocol: Protocol | None
) -> dict[str, str]:
    """Return how samples were drawn, where the protocol has a say in it."""
    made = _images_under(generated, stages)
    if protocol is None or not isinstance(made.params, SamplesParams):
        return {}
    fields: dict[str, str] = {}
    if protocol.timesteps and made.params.timesteps:
        fields["steps"] = made.params.timesteps
    item = made.inputs.get("conditions")
    conditions = stages[item.key].params if item else None
    if isinstance(conditions, DatasetParams) and conditions.classes:
        fields["classes"] = conditions.classes
    return fields
