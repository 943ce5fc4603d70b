"""Chosen: the guidance that was chosen for each model, and its scores on other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ldmbench.report.quantities import number, quantity_of
from ldmbench.report.seeds import Pooled, Shown
from ldmbench.report.tables import Row, Table
from ldmbench.schema.record import Choice

__all__ = ["Chosen", "chosen_of"]


@dataclass(frozen=True)
class Chosen:
    """The table of what was chosen.

    Attributes:
        how: metric, seeds and rule of the choice, in a sentence.
        headings: of the columns.
        lead: how many columns are texts.
        rows: one for each choice.
    """

    how: str
    headings: tuple[str, ...]
    lead: int
    rows: tuple[tuple[Shown, ...], ...]


def chosen_of(table: Table, over: Pooled | None) -> Chosen | None:
    """Return what was chosen on seeds that are not scored, or None where nothing was.

    Args:
        table: of all scored cells.
        over: the same over seeds, where seeds were swept.
    """
    source = table if over is None else over.table
    pairs = [(row, row.record.choice) for row in source.rows]
    choices = [(row, choice) for row, choice in pairs if choice is not None]
    if not choices:
        return None
    shown: dict[tuple[object, ...], tuple[Row, Choice]] = {}
    for row, choice in choices:
        key = (choice.model_dump_json(exclude={"chosen"}), row.leading[0], row.record.cell.dataset)
        if choice.chosen or key not in shown:
            shown[key] = row, choice
    columns = [c for c in source.columns if c.quantity.group in ("quality", "other")]
    first = choices[0][1]
    heading = f"{quantity_of(first.metric).label} at each {first.axis} on the seeds of the choice"
    rows = []
    for row, choice in shown.values():
        known = choice.value is not None
        lead = [Shown(text) for text in _leading(source, row, choice)]
        chosen = [Shown(choice.value or "–", choice.reason or ""), Shown(_means(choice))]
        entries = [row.entries.get(c.key) if known else None for c in columns]
        values = [
            Shown("–", (e.reason if e else choice.reason) or "not measured")
            if e is None or e.value is None
            else Shown(f"{e.text} ± {e.spread}" if e.spread else e.text)
            for e in entries
        ]
        rows.append((*lead, *chosen, *values))
    names = _kept(source, first)
    return Chosen(
        _how(first),
        (
            *(source.headings[i] for i in names),
            *(first.axis.replace("_", " ").capitalize(), heading),
            *(f"{c.heading} {c.arrow}".strip() for c in columns),
        ),
        len(names) + 2,
        tuple(rows),
    )


def _kept(table: Table, choice: Choice) -> list[int]:
    """Return the places of the leading texts but that of the field that is chosen."""
    return [0, *(i for i, name in enumerate(table.vary, start=1) if name != choice.axis)]


def _leading(table: Table, row: Row, choice: Choice) -> Sequence[str]:
    return [row.leading[i] for i in _kept(table, choice)]


def _means(choice: Choice) -> str:
    """Write the means that were compared, and which were equal to the best."""
    texts = [
        f"{value}: {'–' if mean is None else number(mean)}" for value, mean in choice.means.items()
    ]
    equal = f" ({', '.join(choice.equal)} equal)" if choice.equal else ""
    return "; ".join(texts) + equal


def _how(choice: Choice) -> str:
    label, many = quantity_of(choice.metric).label, len(choice.seeds) > 1
    seeds = f"sample seed{'s' if many else ''} {', '.join(map(str, choice.seeds))}"
    field = choice.axis.replace("_", " ")
    return (
        f"The {field} of each model was chosen by {label} on {seeds}, which"
        f" {'are' if many else 'is'} not scored (rule {choice.rule}: best mean over trainings and"
        " these seeds; of equal means the first in the suite's list). Scores are those of the other"
        " sample seeds."
    )
