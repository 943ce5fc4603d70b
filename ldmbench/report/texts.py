"""Texts to lift into other documents: a GitHub table and booktabs LaTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ldmbench.report.cells import IDENTITY, shared_fields
from ldmbench.report.notices import Notice, notices_of
from ldmbench.report.published import CAUTION, Beside, beside
from ldmbench.report.quantities import GROUPS
from ldmbench.report.tables import Column, Entry, Row, Table, build, group_table
from ldmbench.schema.record import Extras, Record, Run

__all__ = ["latex", "markdown"]

LONG = 45
"""Rows beyond which a LaTeX table breaks over pages."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "–": "--",
    "µ": r"$\mu$",
    "η": r"$\eta$",
    "é": r"\'e",
}


def markdown(run: Run, records: Sequence[Record], extras: Extras | None = None) -> str:
    """Return GitHub Markdown: notices, one table per group, signatures. Bold is the best."""
    table = build(records)
    parts = [f"# {_md(run.suite)}", _md(run.question), _md_head(run, records)]
    parts += [_md_notice(notice) for notice in notices_of(run, table)]
    for group in table.groups:
        parts += [f"## {GROUPS[group]}", _md_table(table, group)]
    parts += [
        "Bold: best of its dataset among numbers made the same way. ≈: its interval overlaps "
        "that of the best. ±: half the width of the interval.",
        *_md_published(beside(records, extras or Extras())),
        _md_signatures(records),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(run: Run, records: Sequence[Record]) -> str:
    """Return one booktabs table per group, the best in bold, failed cells in a comment."""
    table = build(records)
    parts = [
        r"% needs \usepackage{booktabs}, \usepackage{graphicx} and, beyond "
        f"{LONG} rows, " + r"\usepackage{longtable}",
        f"% run {_comment(run.id)}",
    ]
    parts += [
        f"% {notice.kind}: {_comment(notice.title)}: {_comment(notice.text)}"
        for notice in notices_of(run, table)
    ]
    parts += [_tex_table(run, table, group) for group in table.groups]
    return "\n\n".join(parts) + "\n"


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


def _md_table(table: Table, group: str) -> str:
    table = group_table(table, group)
    columns = table.columns
    headings = [*_leading(table), *(f"{c.heading} {c.arrow}".strip() for c in columns)]
    lines = [
        "| " + " | ".join(_md(h) for h in headings) + " |",
        "| --- " * len(_leading(table)) + "| ---: " * len(columns) + "|",
    ]
    for row in table.rows:
        cells = [*map(_md, row.leading), *(_md_entry(row, c) for c in columns)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _md_entry(row: Row, column: Column) -> str:
    entry = row.entries.get(column.key)
    if entry is None:
        return "failed" if row.record.status == "failed" else ""
    text = _plain(entry)
    return f"**{text}**" if entry.best else f"{text} ≈" if entry.tied else text


def _md_signatures(records: Sequence[Record]) -> str:
    signatures = sorted({score.signature for record in records for score in record.scores})
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
            source = f"{line.source} ({line.note})" if line.note else line.source
            cells = [kind, line.model, line.how, line.n, *line.values, source]
            lines.append(f"| {' | '.join(map(_md, cells))} |")
        parts += [f"{_md(one.dataset)} under {_md(one.protocol)}:", "\n".join(lines)]
    return parts


def _plain(entry: Entry) -> str:
    return f"{entry.text} ± {entry.spread}" if entry.spread else entry.text


def _leading(table: Table) -> list[str]:
    return ["Model", *(IDENTITY[name] for name in table.vary)]


def _tex(text: str) -> str:
    """Escape a text for LaTeX; what the usual fonts lack becomes '?'."""
    out = "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in out)


def _comment(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))


def _tex_table(run: Run, table: Table, group: str) -> str:
    table = group_table(table, group)
    columns, rows = table.columns, table.rows
    headings = [*_leading(table), *(f"{c.heading} {c.arrow}".strip() for c in columns)]
    spec = "l" * len(_leading(table)) + "r" * len(columns)
    body = [_tex_row(row, columns) for row in rows]
    head = " & ".join(_tex(h) for h in headings) + r" \\"
    caption = _tex(f"{run.suite}: {GROUPS[group].lower()}. Best per dataset in bold.")
    label = f"tab:{run.suite}-{group.replace(' ', '-')}"
    if len(rows) > LONG:
        return _longtable(spec, head, body, caption=caption, label=label)
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{spec}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule",
        r"\end{tabular}}", r"\end{table}",
    ])  # fmt: skip


def _longtable(spec: str, head: str, body: Sequence[str], *, caption: str, label: str) -> str:
    return "\n".join([
        rf"\begin{{longtable}}{{{spec}}}", rf"\caption{{{caption}}}\label{{{label}}} \\",
        r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endlastfoot", *body,
        r"\end{longtable}",
    ])  # fmt: skip


def _tex_row(row: Row, columns: Sequence[Column]) -> str:
    r"""Return a row; `[` or `*` at its head would belong to the `\\` or `\midrule` before it."""
    cells = [*map(_tex, row.leading), *(_tex_entry(row, c) for c in columns)]
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return guard + " & ".join(cells) + r" \\"


def _tex_entry(row: Row, column: Column) -> str:
    entry = row.entries.get(column.key)
    if entry is None:
        return r"\emph{failed}" if row.record.status == "failed" else "--"
    if entry.value is None:
        return "--"
    text = rf"\mathbf{{{entry.text}}}" if entry.best else entry.text
    return f"${text} \\pm {entry.spread}$" if entry.spread else f"${text}$"
