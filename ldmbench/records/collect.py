"""Plan x store -> records: reads artefacts and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ldmbench.catalog.measures import MEASURES
from ldmbench.catalog.metrics import METRICS, SCORES, shown_as
from ldmbench.records.cautions import cautions_of, is_given
from ldmbench.records.costs import costs
from ldmbench.records.first_stage import first_stage_measures, latent_spectrum
from ldmbench.records.signature import dataset_under, signature
from ldmbench.schema.params import DatasetParams, FilesSource, ScoresParams
from ldmbench.schema.record import (
    CodingPoint,
    CurvePoint,
    Extras,
    Measure,
    Picture,
    Record,
    Score,
    SpectrumPoint,
)
from ldmbench.schema.stage import Cell, Manifest, Plan, Stage, lineage
from ldmbench.store.disk import Address, Store
from ldmbench.store.units import units_of

TRAINED = ("denoiser", "autoencoder")


def collect_record(
    cell: Cell,
    plan: Plan,
    store: Store,
    *,
    run: str,
    failed: Mapping[str, str] | None = None,
    stale: Sequence[str] = (),
) -> Record:
    """Return what is known of one cell.

    Args:
        cell: which cell.
        plan: its plan.
        store: where its artefacts are.
        run: the id of the run that asks.
        failed: stage key -> reason, of stages that failed in this run.
        stale: keys of artefacts that an older code made.
    """
    stages = plan.by_key()
    reasons = [failed[key] for key in cell.stages.values() if failed and key in failed]
    scores = (*_scores(cell, plan, stages, store), *_unsampled(cell, plan))
    measures = tuple(_measures(cell, plan, stages, store))
    cautions = (*cautions_of(cell, plan), *_lossy(cell, stages, store))
    # Looked for after all is read: what was damaged is gone now.
    found = {role: _manifest(stages[key], store) for role, key in cell.stages.items()}
    lost = [role for role, manifest in found.items() if manifest is None]
    if not reasons and lost:
        reasons = [f"not measured: {', '.join(lost)}"]
    any_manifest = next((m for m in found.values() if m), None)
    return Record(
        run=run,
        cell=cell,
        status="failed" if reasons else "done",
        reason=reasons[0] if reasons else None,
        scores=scores,
        measures=measures,
        warnings=cautions,
        keys=cell.stages,
        stale=tuple(
            sorted({stages[k].kind for k in lineage(cell.stages.values(), stages) & {*stale}})
        ),
        machine=any_manifest.machine if any_manifest else {},
        versions=any_manifest.versions if any_manifest else {},
    )


def _lossy(cell: Cell, stages: Mapping[str, Stage], store: Store) -> Iterator[str]:
    """Warn where samples are compared with lossy files: compression changes FID."""
    if is_given(cell):
        return
    scores = [stages[key] for key in cell.stages.values() if stages[key].kind == "scores"]
    held = {
        dataset.key: dataset
        for stage in scores
        if "reference" in stage.inputs
        for dataset in [dataset_under(stages[stage.inputs["reference"].key], stages)]
        if isinstance(dataset.params, DatasetParams)
        and isinstance(dataset.params.source, FilesSource)
        and dataset.params.split != "truth"
    }
    for dataset in held.values():
        files = [store.file(unit.address, "facts.json") for unit in units_of(dataset)]
        facts = [json.loads(file.read_text("utf-8")) for file in files if file]
        lossy = sum(fact.get("lossy", 0) for fact in facts)
        if lossy:
            yield (
                f"{lossy:,} of the real images are jpg or webp files, and samples are not:"
                " compression changes FID"
            )


def _manifest(stage: Stage, store: Store) -> Manifest | None:
    shard = (0, stage.shard) if stage.shard else None
    return store.lookup(Address(stage.kind, stage.key, shard))


def read_json(stage: Stage, store: Store, name: str) -> Any:
    """Return a JSON file of a committed, unsharded artefact, or None."""
    path = store.file(Address(stage.kind, stage.key), name)
    return json.loads(path.read_text("utf-8")) if path else None


def _scores(cell: Cell, plan: Plan, stages: Mapping[str, Stage], store: Store) -> Iterator[Score]:
    for role, key in cell.roles.items():
        stage = stages[key]
        if stage.kind != "scores":
            continue
        recipe = next((p for p in plan.protocols if p.name == role.protocol), None)
        values = read_json(stage, store, "scores.json") or {}
        for name, entry in values.items():
            shown = shown_as(role.name, name)
            row = SCORES.get(shown)
            if shown in plan.metrics or (row and (row.of or not row.in_suite)):
                yield Score(
                    name=shown,
                    **entry,
                    signature=str(signature(shown, stage, stages, store, recipe)),
                    protocol=role.protocol,
                    replicates=key,
                )
        yield from _unread(role.name, stage, values, plan)


def _unread(role: str, stage: Stage, values: Mapping[str, Any], plan: Plan) -> Iterator[Score]:
    """Yield the scores of layouts and maps that the network behind scores reads nothing of."""
    for name in plan.metrics if values else ():
        row = METRICS.get(name)
        if row is None or not row.judged or row.family.name != role or name in values:
            continue
        options = stage.params.options if isinstance(stage.params, ScoresParams) else {}
        why = "an older code computed these scores without it; run again with --fresh scores"
        if "detector" in options and row.judged == "map":
            why = "these data have boxes, which a detector judges, and no maps"
        elif "known" in options and row.judged == "boxes":
            why = "these data have maps, which a segmenter judges, and no boxes"
        yield Score(name=name, value=None, n=0, signature=name, reason=why)


def _unsampled(cell: Cell, plan: Plan) -> Iterator[Score]:
    """Yield the scores of samples that a first stage alone has no value of, with the reason."""
    for name in () if cell.is_sampled else plan.metrics:
        row = SCORES.get(name)
        if row is None or row.group != "first stage":
            why = "a first stage alone has no samples"
            yield Score(name=name, value=None, n=0, signature=name, reason=why)


def _measures(
    cell: Cell, plan: Plan, stages: Mapping[str, Stage], store: Store
) -> Iterator[Measure]:
    speed = stages.get(cell.stages.get("speed", ""))
    for entry in (read_json(speed, store, "measures.json") if speed else None) or ():
        if _asked(entry["name"], plan.probes):
            yield Measure(**entry)
    if "device_days" in plan.probes:
        trained = {kind: stages[cell.stages[kind]] for kind in TRAINED if kind in cell.stages}
        parts = {kind: read_json(stage, store, "cost.json") for kind, stage in trained.items()}
        before = [read_json(stage, store, "cost.json") for stage in _sources(cell, stages)]
        yield from costs(
            parts.get("denoiser"), parts["autoencoder"], cell=cell, plan=plan, sources=before
        )
    validated = stages.get(cell.stages.get("validation_loss", ""))
    found = read_json(validated, store, "validation.json") if validated else None
    if found:
        shown = {name: found[name] for name in ("value", "low", "high", "n")}
        yield Measure(name="validation_loss", unit="", device="", **shown)
    made = stages.get(cell.stages.get("reconstructions", ""))
    if made:
        yield from first_stage_measures(made, stages, store)
    coded = stages.get(cell.stages.get("coding", ""))
    points = (read_json(coded, store, "coding.json") if coded else None) or ()
    if points:
        whole = min(points, key=lambda point: int(point["t"]))
        yield Measure(name="coding_rate", value=whole["bits_per_dim"], unit="bits/dim", device="")


def _sources(cell: Cell, stages: Mapping[str, Stage]) -> list[Stage]:
    """Return the denoisers that the weights of a cell's denoiser went through before."""
    found = [stages[cell.stages["denoiser"]]] if "denoiser" in cell.stages else []
    while found and "init" in found[-1].inputs:
        found.append(stages[found[-1].inputs["init"].key])
    return found[1:]


def _asked(measure: str, probes: Sequence[str]) -> bool:
    row = MEASURES.get(measure)
    return (row.probe if row else measure) in probes


def collect_extras(plan: Plan, store: Store, *, pictures: Sequence[Picture] = ()) -> Extras:
    """Return the training curves, the progressive coding and the spectra of latents of a plan."""
    stages = plan.by_key()
    curves: dict[str, tuple[CurvePoint, ...]] = {}
    coding: dict[str, tuple[CodingPoint, ...]] = {}
    spectra: dict[str, tuple[SpectrumPoint, ...]] = {}
    for cell in plan.cells:
        for kind in ("autoencoder", "denoiser"):
            stage = stages.get(cell.stages.get(kind, ""))
            points = _curve(stage, store) if stage else None
            if points:
                curves[f"{cell.model}/{cell.dataset} {kind}"] = points
        if "coding" in cell.stages:
            entries = read_json(stages[cell.stages["coding"]], store, "coding.json") or ()
            coding[cell.id] = tuple(CodingPoint(**entry) for entry in entries)
        made = stages.get(cell.stages.get("reconstructions", ""))
        if made and (found := latent_spectrum(made, store)):
            spectra[cell.id] = found
    return Extras(curves=curves, coding=coding, spectra=spectra, pictures=tuple(pictures))


def _curve(stage: Stage, store: Store) -> tuple[CurvePoint, ...]:
    """Return a training curve; its wall times lie apart, so that weights are keyed without them."""
    path = store.file(Address(stage.kind, stage.key), "curve.jsonl")
    cost = read_json(stage, store, "cost.json") or {}
    lines = path.read_text("utf-8").splitlines() if path and cost else []
    return tuple(
        CurvePoint(**json.loads(line), seconds=seconds)
        for line, seconds in zip(lines, cost.get("curve_seconds", ()), strict=False)
    )
