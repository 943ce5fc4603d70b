"""From a cell of a run to a folder: a model that a suite trained, handed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.plan.expand import matches
from ldmbench.records.runs import Runs
from ldmbench.registry import nearest
from ldmbench.schema.params import CalledDenoiser, CalledStage, ShippedStage, TrainedStage
from ldmbench.schema.record import Run
from ldmbench.schema.stage import Cell, Plan, Stage
from ldmbench.store.disk import Address, Store

__all__ = ["Exported", "export_cell"]

LISTED = 20
KEPT = "at-"
"""How the name of a folder of weights begins that were kept at a share of the budget."""


@dataclass(frozen=True)
class Exported:
    """A folder that holds a model.

    Attributes:
        folder: where it lies.
        cell: whose model it is.
        weights: ema or raw.
        checkpoint: share of the budget after which they were taken.
        pipeline: diffusers' class that loads the folder, or None where it has none.
        parameters: of all networks.
        alone: whether it is a first stage, without a denoiser.
    """

    folder: Path
    cell: str
    weights: str
    checkpoint: float
    pipeline: str | None
    parameters: int
    alone: bool = False

    @property
    def loaders(self) -> str:
        """Say in a sentence what takes the folder."""
        if self.alone:
            return (
                f"diffusers' {self.pipeline}.from_pretrained, ldmbench.load, `kind: load` of a"
                " suite, and `autoencoder: {path: ...}` under a denoiser take it"
            )
        ours = "ldmbench.load, `ldmbench convert` and `kind: load` of a suite"
        if self.pipeline:
            return f"diffusers' {self.pipeline} (DiffusionPipeline.from_pretrained), {ours} take it"
        return f"{ours} take it; diffusers has no pipeline for its condition"


def export_cell(
    run: Run,
    all_runs: Runs,
    cell: str,
    out: Path,
    *,
    raw: bool = False,
    checkpoint: float | None = None,
) -> Exported:
    """Write the model of a cell as a diffusers folder, which appears only when it is whole.

    Args:
        run: of the cell.
        all_runs: that has it.
        cell: its id, or a glob that only cells of one model match.
        out: the folder; must not exist, or be empty.
        raw: weights that are not averaged.
        checkpoint: a kept share of the training budget; unset: that of the cell's samples.

    Raises:
        InputError: there is no such cell, model, checkpoint or store; or the folder is in use.
    """
    from ldmbench.models.export import export_first_stage, export_model  # imports torch

    plan = all_runs.plan(run.id)
    if plan is None:
        raise InputError(
            f"run {run.id}: its plan is not kept, so its models cannot be found; export from a run"
            " in a store (--store DIR)"
        )
    found, stages = _cell(plan, cell, run.id), plan.by_key()
    origin = {"run": run.id, "cell": found.id}
    if not found.is_sampled:
        stage = _first_stage(found, stages[found.stages["autoencoder"]])
        if raw or checkpoint not in (None, 1):
            raise InputError(
                f"{found.id} is a first stage, of which one set of weights is kept; leave out --raw"
                " and --checkpoint"
            )
        folder = _artefact(stage, all_runs.root, run.suite)
        exported = export_first_stage(folder, out, origin=origin)
        written = exported.weights, 1.0, exported.pipeline, exported.parameters
        return Exported(out, found.id, *written, alone=True)
    share = found.progress if checkpoint is None else checkpoint
    autoencoder = _artefact(stages[found.stages["autoencoder"]], all_runs.root, run.suite)
    denoiser = _artefact(
        _trained(found, stages[found.stages["denoiser"]]), all_runs.root, run.suite
    )
    exported = export_model(
        autoencoder,
        denoiser / _kept_name(denoiser, share),
        out,
        raw=raw,
        origin={**origin, "checkpoint": share},
    )
    return Exported(out, found.id, exported.weights, share, exported.pipeline, exported.parameters)


def _cell(plan: Plan, name: str, run: str) -> Cell:
    """Return a cell by its id, or by a glob whose cells share one model.

    Raises:
        InputError: no cell matches, or those of several models do.
    """
    exact = [cell for cell in plan.cells if cell.id == name]
    found = exact or [cell for cell in plan.cells if matches(cell.id, name)]
    if not found:
        ids = [cell.id for cell in plan.cells]
        raise InputError(
            f"no cell '{name}'{nearest(name, ids)} in run {run}; there are:\n{_lines(ids)}"
        )
    if len({_model_of(cell) for cell in found}) > 1:
        ids = [cell.id for cell in found]
        raise InputError(f"'{name}' matches cells of several models; name one:\n{_lines(ids)}")
    return found[0]


def _model_of(cell: Cell) -> tuple[object, ...]:
    return cell.stages["autoencoder"], cell.stages.get("denoiser"), cell.progress


def _lines(ids: Sequence[str]) -> str:
    more = f"\n  and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
    return "\n".join(f"  {i}" for i in ids[:LISTED]) + more


def _first_stage(cell: Cell, stage: Stage) -> Stage:
    """Return the stage of a first stage that was trained here, or ships.

    Raises:
        InputError: the first stage is loaded, or is the user's own code.
    """
    if isinstance(stage.params, TrainedStage | ShippedStage):
        return stage
    if isinstance(stage.params, CalledStage):
        raise InputError(f"{cell.id} is your own code, which is not a first stage to export")
    assert stage.local.load is not None  # no cell is the identity alone
    raise _loaded(cell, stage.local.load.path)


def _trained(cell: Cell, stage: Stage) -> Stage:
    """Return the stage of a denoiser that was trained here.

    Raises:
        InputError: the cell's model is loaded, or is the user's own code.
    """
    if isinstance(stage.params, CalledDenoiser):
        raise InputError(f"{cell.id} is sampled by your own code, which is not a model to export")
    if stage.local.load:
        raise _loaded(cell, stage.local.load.path)
    return stage


def _loaded(cell: Cell, path: str) -> InputError:
    return InputError(
        f"{cell.id} was loaded from {path} and not trained here; `ldmbench convert {path} OUT`"
        " writes it as a diffusers folder"
    )


def _artefact(stage: Stage, root: Path, suite: str) -> Path:
    """Return the folder of a stage's output, if all of it is as it was written.

    Raises:
        InputError: it is not in the store.
    """
    store = Store(root)
    address = Address(stage.kind, stage.key)
    if store.lookup(address, verify=True) is None:
        raise InputError(
            f"{stage.label} is not in the store {root}, or was damaged; `ldmbench run` of the suite"
            f" {suite} makes it again"
        )
    return store.folder(address)


def _kept_name(denoiser: Path, share: float) -> str:
    """Return the folder of the weights that were kept at a share of the budget.

    Raises:
        InputError: none were kept there.
    """
    kept = {float(p.name.removeprefix(KEPT)): p.name for p in denoiser.glob(f"{KEPT}*")}
    if share == 1:
        return "."
    if share in kept:
        return kept[share]
    raise InputError(
        f"no weights were kept at {share:g} of the budget; there are:"
        f" {', '.join(f'{n:g}' for n in sorted({*kept, 1.0}))}; denoiser.checkpoints keeps more"
    )
