"""Views: a run and everything that a report shows of it, narrowed where that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.records.compare import Replicas
from ldmbench.registry import pick
from ldmbench.report.chosen import Chosen, chosen_of
from ldmbench.report.quantities import QUANTITIES
from ldmbench.report.seeds import Pooled, pooled
from ldmbench.report.tables import Table, build, without
from ldmbench.schema.record import Extras, Record, Run

__all__ = ["View", "apart", "narrowed"]


@dataclass(frozen=True)
class View:
    """What every format renders.

    Attributes:
        run: the run.
        records: its records, in the order of its cells.
        extras: curves, progressive coding and pictures.
        folder: the run's folder, in which `extras.pictures` name their files.
        history: series over the runs of the suite, as `ldmbench history --json` writes them.
        replicates: where the replicates of a score are found, for paired differences.
        measured: the records that figures are drawn from, with measures that no table shows;
            None: the records.
        choosing: records of cells on which only a field of sampling was chosen; in no table.
    """

    run: Run
    records: Sequence[Record]
    extras: Extras = field(default_factory=Extras)
    folder: Path = Path()
    history: Sequence[Mapping[str, object]] = ()
    replicates: Replicas = without
    measured: Sequence[Record] | None = None
    choosing: Sequence[Record] = ()

    @cached_property
    def table(self) -> Table:
        """The table of all cells."""
        return build(self.records, self.replicates)

    @cached_property
    def over(self) -> Pooled | None:
        """The tables over seeds, where seeds were swept."""
        return pooled(self.table)

    @cached_property
    def chosen(self) -> Chosen | None:
        """What was chosen on seeds that are not scored."""
        return chosen_of(self.table, self.over)

    @property
    def every(self) -> Sequence[Record]:
        """All records, those of cells that only choose last."""
        return (*self.records, *self.choosing)

    @property
    def drawn(self) -> Sequence[Record]:
        """The records that figures are drawn from."""
        return self.records if self.measured is None else self.measured


def apart(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Return the records of scored cells, and those of cells that only help to choose."""
    scored = [record for record in records if not record.cell.chooses]
    return scored, [record for record in records if record.cell.chooses]


def narrowed(view: View, metrics: Sequence[str]) -> View:
    """Return a view of some scores and measures alone; figures keep all measures as axes.

    Raises:
        InputError: if no record has one of them.
    """
    if not metrics:
        return view
    there = {s.name for r in view.records for s in r.scores}
    there |= {m.name for r in view.records for m in r.measures}
    for name in metrics:
        pick(dict.fromkeys([*QUANTITIES, *sorted(there)]), name, "score or measure")
        if name not in there:
            raise InputError(
                f"no cell has {name}; the run has: {', '.join(sorted(there)) or 'no numbers'}"
            )
    scored = [
        r.model_copy(update={"scores": tuple(s for s in r.scores if s.name in metrics)})
        for r in view.records
    ]
    shown = [
        r.model_copy(update={"measures": tuple(m for m in r.measures if m.name in metrics)})
        for r in scored
    ]
    return replace(view, records=shown, measured=scored)
