"""What stages are called for people: by the models, cells and datasets they are for."""

from __future__ import annotations

from collections.abc import Sequence

from ldmbench.schema.params import DatasetParams, FeaturesParams, Params, Scores, ValidationParams
from ldmbench.schema.stage import Cell, Plan, Stage

__all__ = ["names_of"]

OF_MODELS = {"autoencoder", "denoiser", "latents", "contexts", "reconstructions"}


def names_of(plan: Plan) -> dict[str, str]:
    """Return stage key -> text such as 'denoiser ldm[f=4]' or 'samples ldm/shapes/ddim-50/g1/s0'.

    A stage that serves several models or cells is called by the first, and how many more; the end
    that all cells' ids share, such as /g1/s0, is left out.
    """
    stages, cells = plan.by_key(), _cells_above(plan)
    end = _shared_end([cell.id for cell in plan.cells])
    return {stage.key: _name(stage, stages, cells.get(stage.key, []), end) for stage in plan.stages}


def _shared_end(ids: Sequence[str]) -> str:
    """Return the last parts that are the same in all ids, behind model, dataset and sampler."""
    parts = [name.split("/") for name in ids]
    shared: list[str] = []
    while (
        all(len(p) > 3 + len(shared) for p in parts)
        and len({p[-1 - len(shared)] for p in parts}) == 1
    ):
        shared.insert(0, parts[0][-1 - len(shared)])
    return "".join(f"/{part}" for part in shared)


def _cells_above(plan: Plan) -> dict[str, list[Cell]]:
    """Return stage key -> the cells that need it, straight or through other stages."""
    stages = plan.by_key()
    found: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        todo, seen = [*cell.stages.values()], set()
        while todo:
            key = todo.pop()
            if key in seen or key not in stages:
                continue
            seen.add(key)
            found.setdefault(key, []).append(cell)
            todo += [item.key for item in stages[key].inputs.values()]
    return found


def _name(stage: Stage, stages: dict[str, Stage], cells: Sequence[Cell], end: str) -> str:
    if not cells:
        return stage.label
    kind = f"{stage.kind} {_detail(stage.params)}".strip()
    source = stage
    if stage.kind == "features":  # of samples, of reconstructions, or of real images
        source = next((stages[i.key] for i in stage.inputs.values() if i.key in stages), stage)
    if source.kind == "dataset":
        split = source.params.split if isinstance(source.params, DatasetParams) else ""
        return f"{kind} {_few([cell.dataset for cell in cells])} {split}".strip()
    if source.kind in OF_MODELS:
        several = len({cell.dataset for cell in cells}) > 1
        models = [f"{c.model}/{c.dataset}" if several else c.model for c in cells]
        return f"{kind} {_few(models)}"
    return f"{kind} {_few([cell.id.removesuffix(end) for cell in cells])}"


def _detail(params: Params) -> str:
    """Return what tells several stages of one cell apart: an extractor, a metric family."""
    if isinstance(params, FeaturesParams):
        return params.extractor
    if isinstance(params, ValidationParams):
        return "validation"
    return params.family if isinstance(params, Scores) else ""


def _few(names: Sequence[str]) -> str:
    """Return the first of the different names, and how many more there are."""
    different = list(dict.fromkeys(names))
    more = f" +{len(different) - 1}" if len(different) > 1 else ""
    return f"{different[0]}{more}"
