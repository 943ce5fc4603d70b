"""What makes the scores of a cell less than they seem: few samples, not what a protocol says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ldmbench.catalog.extractors import EMBEDDED, EXTRACTORS
from ldmbench.catalog.metrics import FAMILIES, METRICS, RECONSTRUCTED, listed, metrics_of
from ldmbench.records.signature import source_under
from ldmbench.schema.params import (
    DatasetParams,
    FeaturesParams,
    FeaturesSource,
    FileFeatures,
    FilesSource,
    ReconstructionsParams,
    ShapesSource,
)
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Cell, Plan, Role, Stage, lineage

__all__ = ["cautions_of", "few_samples", "is_given", "unlike_count"]


def is_given(cell: Cell) -> bool:
    """Tell whether samples came from elsewhere: nobody here knows how they were drawn."""
    return cell.sampler == "given"


def cautions_of(cell: Cell, plan: Plan) -> tuple[str, ...]:
    """Return one sentence for each thing to know of a cell's scores.

    Of samples that were given only what concerns the reference: `ldmbench score` knows both sides
    better than the plan does, and says the rest.
    """
    stages, roles = plan.by_key(), cell.roles
    parts = [stages.get(cell.stages.get(kind, "")) for kind in ("autoencoder", "denoiser")]
    taken = dict.fromkeys(text for part in parts if part for text in part.local.assumed)
    found: list[str] = [f"models.{cell.model}: {text}" for text in taken]
    found += [*plan.cautions.get(cell.id, ()), *_unprompted(cell, plan)]
    for protocol in plan.protocols:
        found += _evaluators(cell, protocol, stages)
        scores = {
            name: stages[roles[role]]
            for name, family in FAMILIES.items()
            if family.against in ("nothing", "reference", "training", "validation")
            and (role := Role(name, protocol.name)) in roles
        }
        found += () if is_given(cell) else _counts(scores, protocol, stages)
        found += _reference(cell, scores, protocol, stages)
        found += () if is_given(cell) or not cell.is_sampled else _sampling(cell, protocol)
        found += _reconstructed(cell, protocol, stages)
    return tuple(dict.fromkeys(found))


def _unprompted(cell: Cell, plan: Plan) -> Iterator[str]:
    """Say why a cell has no score against captions where others have one."""
    if is_given(cell) or not cell.is_sampled or cell.chooses:
        return
    rows = [METRICS[name] for name in plan.metrics if name in METRICS]
    there = {role.name for role in cell.roles}
    for row in rows:
        if row.family.against == "caption" and row.family.name not in there:
            yield f"{row.name} has no value: it needs captions, but this model uses none"


def _evaluators(cell: Cell, protocol: Protocol, stages: Mapping[str, Stage]) -> Iterator[str]:
    """Warn of embedded evaluators on anything but the data that they were trained on."""
    scores = [stages[k] for role, k in cell.roles.items() if role.protocol == protocol.name]
    foreign: dict[str, None] = {}
    for stage in scores:
        generated = stages[stage.inputs["generated"].key] if "generated" in stage.inputs else stage
        extractor = extractor_of(generated)
        if extractor in EMBEDDED and not _is_shapes(cell, stage, stages):
            foreign[extractor] = None
    for extractor in foreign:
        yield (
            f"{extractor} was trained on the data `shapes` alone: for other images its numbers mean"
            f" little; {EXTRACTORS[extractor].instead}"
        )


def _is_shapes(cell: Cell, scores: Stage, stages: Mapping[str, Stage]) -> bool:
    """Tell whether all images below scores are of `shapes`.

    Nothing says what samples are of that were given: what they are held to stands for them.
    """
    below = [item.key for item in scores.inputs.values()]
    if is_given(cell):
        every = (stages[key].inputs.get("reference") for key in cell.stages.values())
        below = [item.key for item in every if item] or below
    found = [stages[key].params for key in lineage(below, stages)]
    named = [params.ref for params in found if isinstance(params, FileFeatures) and params.ref]
    if named:  # features that were extracted elsewhere
        return all(re.match(r"shapes\d", name) for name in named)
    sources = [params.source for params in found if isinstance(params, DatasetParams)]
    return bool(sources) and all(isinstance(source, ShapesSource) for source in sources)


def extractor_of(stage: Stage) -> str:
    """Return what extracted features; "" of a stage that is none."""
    return stage.params.extractor if isinstance(stage.params, FeaturesParams) else ""


def few_samples(count: int, width: int, what: str = "samples") -> str | None:
    """Say that a covariance cannot have full rank, or nothing."""
    if count > width:
        return None
    return (
        f"n = {count:,} {what} for {width:,} features: the covariance is rank-deficient and the FID"
        " biased upward; compare only with the same n"
    )


def unlike_count(protocol: Protocol, count: int) -> str | None:
    """Say that n is not the protocol's, or nothing."""
    if protocol.count in (None, count):
        return None
    return f"{protocol.name} has n = {protocol.count:,}; this is n = {count:,}"


def _counts(
    scores: Mapping[str, Stage], protocol: Protocol, stages: Mapping[str, Stage]
) -> Iterator[str]:
    for name, stage in scores.items():
        family = FAMILIES[name]
        made = stage.inputs["generated"].count or 0
        wrong = unlike_count(protocol, made)
        if wrong:
            yield wrong
        if family.covariance:
            spec = EXTRACTORS.get(extractor_of(stages[stage.inputs["generated"].key]))
            width = spec.dim if spec else 0
            for count, what in (
                (made, "samples"),
                (stage.inputs["reference"].count or 0, "real images"),
            ):
                few = few_samples(count, width, what) if family.needs == "features" else None
                if few:
                    yield few


def _reference(
    cell: Cell, scores: Mapping[str, Stage], protocol: Protocol, stages: Mapping[str, Stage]
) -> Iterator[str]:
    found_in = {f: s.inputs["reference"] for f, s in scores.items() if "reference" in s.inputs}
    held = {f: i for f, i in found_in.items() if not _is_statistics(stages[i.key])}
    if not held:
        return
    dataset = cell.dataset.partition("[")[0]
    rule = protocol.rule_for(dataset)
    whole = (rule.reference_count if rule else None) or protocol.reference_count
    for name, images in held.items():
        limit = FAMILIES[name].part if name in FAMILIES else None
        part = getattr(protocol, limit) if limit else None
        asked = min(filter(None, (whole, part)), default=None)
        if asked and asked != images.count:
            of = "" if asked == whole else f" for {listed(metrics_of(name))}"
            yield (
                f"{protocol.name} has m = {asked:,} real images{of}; this is m = {images.count:,}"
            )
    crop = protocol.crop_for(dataset)
    source = source_under(stages[next(iter(held.values())).key], stages)
    found = source.crop if isinstance(source, FilesSource | FeaturesSource) else None
    if found == "given":  # features of images of which nothing is known
        return
    if is_given(cell) and found == "none":
        found = None  # images as they are say nothing of their crop
    if crop and found and found != crop:
        yield f"{protocol.name} crops real images by {crop}; these are cropped by {found}"
    side = source.resolution
    if protocol.resolution and side and side != protocol.resolution:
        yield f"{protocol.name} is about {protocol.resolution} pixels; these images have {side}"


def _reconstructed(cell: Cell, protocol: Protocol, stages: Mapping[str, Stage]) -> Iterator[str]:
    """Say where reconstructions are not what a protocol of reconstructions asks for."""
    keys = {role.name: key for role, key in cell.roles.items() if role.protocol == protocol.name}
    scores = {name: stages[keys[name]] for name in RECONSTRUCTED if name in keys}
    if protocol.posterior is None or not scores:
        return
    yield from _reference(cell, scores, protocol, stages)
    for stage in scores.values():
        made = stages[stage.inputs["generated"].key]
        while made.kind == "features":
            made = stages[made.inputs["images"].key]
        wrong = unlike_count(protocol, stage.inputs["generated"].count or 0)
        if wrong:
            yield wrong
        params = made.params
        found = params.posterior if isinstance(params, ReconstructionsParams) else None
        if cell.regularization == "kl" and found not in (None, protocol.posterior):
            yield (
                f"{protocol.name} decodes the {protocol.posterior} of the posterior; these are of"
                f" its {found}"
            )


def _is_statistics(stage: Stage) -> bool:
    """Tell means and covariances from features."""
    return isinstance(stage.params, FileFeatures) and stage.params.statistics


def _sampling(cell: Cell, protocol: Protocol) -> Iterator[str]:
    for field in ("timesteps", "quantize"):
        asked, found = getattr(protocol, field), getattr(cell, field)
        if asked and found and asked != found:
            yield f"{protocol.name} asks for {field} {asked}; these samples have {found}"
    rule = protocol.rule_for(cell.dataset.partition("[")[0])
    if rule is None:
        return
    pinned = {"sampler": rule.sampler, "eta": rule.eta, "guidance": rule.guidance}
    for name, value in pinned.items():
        if value is not None and value != getattr(cell, name):
            yield (
                f"{protocol.name} samples {rule.dataset} with {name} {value}; this is"
                f" {getattr(cell, name)}"
            )
    if cell.steps not in rule.steps:
        steps = ", ".join(map(str, rule.steps))
        yield f"{protocol.name} samples {rule.dataset} in {steps} steps; this is {cell.steps}"
