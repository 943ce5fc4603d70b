"""Texts to lift into other documents: GitHub tables, and the words that explain a mark."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ldmbench.report.cells import shared_fields
from ldmbench.report.notices import Notice, notices_of
from ldmbench.report.published import CAUTION, Beside, beside
from ldmbench.report.quantities import GROUPS
from ldmbench.report.seeds import BARS, HOW, Pooled, Shown
from ldmbench.report.tables import Column, Entry, Row, group_table, unmade
from ldmbench.report.view import View
from ldmbench.schema.record import Record, Run

__all__ = ["BEST", "SPREAD", "TIED", "markdown"]

BEST = "best of its task and dataset among numbers computed in the same way"
TIED = (
    "not distinguished from the best (scores: the interval of the difference, in pairs where the"
    " store has replicates, corrected for the number of cells; speed: the two intervals overlap)"
)
SPREAD = "half the width of the interval"


def markdown(view: View) -> str:
    """Return GitHub Markdown: notices, one table per group, signatures. Bold is the best."""
    run, records, table = view.run, view.records, view.table
    parts = [f"# {_md(run.suite)}", _md(run.question), _md_head(run, records)]
    parts += [_md_notice(notice) for notice in notices_of(run, table)]
    for group in table.groups:
        shown = group_table(table, group)
        parts += [f"## {GROUPS[group]}", _md_table(shown.headings, shown.rows, shown.columns)]
    if table.groups:
        parts.append(f"Bold: {BEST}. ≈: {TIED}. ±: {SPREAD}.")
    if view.chosen is not None:
        chosen = view.chosen
        title = "## Chosen on seeds that are not scored"
        parts += [title, _md_shown(chosen.headings, chosen.lead, chosen.rows), chosen.how]
    if view.over is not None:
        parts += _md_seeds(view.over)
    parts += [*_md_published(beside(records, view.extras)), _md_signatures(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _md(text: str) -> str:
    """Make a text inert in Markdown: no HTML, no cell, no emphasis, no line break, no turn."""
    text = _flat(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\|*_`[]#~":
        text = text.replace(sign, f"\\{sign}")
    return text


def _flat(text: str) -> str:
    text = " ".join(text.split())
    return "".join(sign for sign in text if unicodedata.category(sign) not in ("Cc", "Cf"))


def _md_code(text: str) -> str:
    """Return a code span: its fence is longer than any in the text (CommonMark 0.31, 6.1)."""
    text = _flat(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _md_head(run: Run, records: Sequence[Record]) -> str:
    shared = ", ".join(
        f"{heading} {_md(value)}" for heading, value in shared_fields(records).items()
    )
    return f"Run {_md_code(run.id)}, {run.state}, started {_md(run.started)}." + (
        f" All cells: {shared}." if shared else ""
    )


def _md_notice(notice: Notice) -> str:
    signs = {"failure": "CAUTION", "warning": "WARNING", "note": "NOTE"}
    cells = f" ({', '.join(_md(c) for c in notice.cells)})" if notice.cells else ""
    return f"> [!{signs[notice.kind]}]\n> **{_md(notice.title)}.** {_md(notice.text)}{cells}"


def _md_table(leading: Sequence[str], rows: Sequence[Row], columns: Sequence[Column]) -> str:
    headings = [*leading, *(f"{c.heading} {c.arrow}".strip() for c in columns)]
    lines = [
        "| " + " | ".join(_md(h) for h in headings) + " |",
        "| --- " * len(leading) + "| ---: " * len(columns) + "|",
    ]
    for row in rows:
        cells = [*map(_md, row.leading), *(_md_entry(row, c) for c in columns)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _md_seeds(over: Pooled) -> list[str]:
    """Return the tables over seeds; what has no value says why below them."""
    parts = ["## Over seeds", _md_table(over.headings, over.rows, over.table.columns), HOW]
    lead = len(over.headings) + 1
    table = _md_shown(over.bar_headings, lead, over.bars)
    reasons = dict.fromkeys(shown.reason for row in over.bars for shown in row if shown.reason)
    missing = f"–: {'; '.join(map(_md, reasons))}." if reasons else ""
    return [*parts, "### Error bars", table, BARS, missing]


def _md_shown(headings: Sequence[str], lead: int, rows: Sequence[Sequence[Shown]]) -> str:
    """Return a table of texts, the first `lead` columns at the left."""
    return "\n".join([
        f"| {' | '.join(map(_md, headings))} |",
        "| --- " * lead + "| ---: " * (len(headings) - lead) + "|",
        *(f"| {' | '.join(_md(shown.text) for shown in row)} |" for row in rows),
    ])  # fmt: skip


def _md_entry(row: Row, column: Column) -> str:
    entry = row.entries.get(column.key)
    if entry is None:
        return "failed" if row.record.status == "failed" else ""
    text = _plain(entry)
    return f"**{text}**" if entry.best else f"{text} ≈" if entry.tied else text


def _md_signatures(records: Sequence[Record]) -> str:
    scores = (score for record in records for score in record.scores)
    signatures = sorted({score.signature for score in scores if not unmade(score)})
    if not signatures:
        return ""
    return "## How these numbers were made\n\n" + "\n".join(f"- {_md_code(s)}" for s in signatures)


def _md_published(found: Sequence[Beside]) -> list[str]:
    parts = ["## Published numbers", CAUTION] if found else []
    for one in found:
        headings = ["Row", "Model", "Sampling", "n", *one.headings, "Source"]
        lines = [
            f"| {' | '.join(headings)} |",
            "| --- | --- | --- | ---: " + "| ---: " * len(one.headings) + "| --- |",
        ]
        for line in one.lines:
            kind = "measured" if line.measured else "published"
            kind += ", suspect" if line.suspect else ""
            remarks = [line.note, line.differs and f"protocol differs: {line.differs}"]
            said = "; ".join(remark for remark in remarks if remark)
            source = f"{line.source} ({said})" if said else line.source
            cells = [kind, line.model, line.how, line.n, *line.values, source]
            lines.append(f"| {' | '.join(map(_md, cells))} |")
        parts += [f"{_md(one.dataset)} under {_md(one.protocol)}:", "\n".join(lines)]
    return parts


def _plain(entry: Entry) -> str:
    return f"{entry.text} ± {entry.spread}" if entry.spread else entry.text
