"""LaTeX: booktabs tables that fit a page, numbers aligned at their decimal points."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ldmbench.report.notices import notices_of
from ldmbench.report.quantities import GROUPS
from ldmbench.report.seeds import BARS, HOW, Pooled, Shown
from ldmbench.report.tables import Column, Entry, Row, group_table
from ldmbench.report.view import View

__all__ = ["latex"]

LONG = 45
"""Rows beyond which a table breaks over pages."""

WIDE = 80
"""Digits of \\footnotesize on a line of `article`; columns beyond them go into another table."""

NAME = 30
"""Letters of a row's name on one line."""

GAP = 1.5
"""Digits between two columns, three points on either side."""

_SIGNS = {
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
    "≈": r"$\approx$",
    "±": r"$\pm$",
}
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?")


def latex(view: View) -> str:
    """Return booktabs tables, one or more per group, the best in bold, notices in comments.

    A table that is wider than a page becomes several with the same rows; one with many rows
    breaks over pages. The decimals of a number are those of its error.
    """
    table = view.table
    parts = [
        r"% needs \usepackage{booktabs}, \usepackage{graphicx} and, beyond "
        f"{LONG} rows, " + r"\usepackage{longtable}",
        f"% run {_comment(view.run.id)}",
    ]
    parts += [
        f"% {notice.kind}: {_comment(notice.title)}: {_comment(notice.text)}"
        for notice in notices_of(view.run, table)
    ]
    marks = "Best per dataset in bold; ≈: not distinguished from it."
    for group in table.groups:
        shown = group_table(table, group)
        text = f"{GROUPS[group].lower()}. {marks}"
        parts += _tables(view.run.suite, group, shown.headings, shown.rows, shown.columns, text)
    if view.chosen is not None:
        chosen = view.chosen
        caption = f"chosen on seeds that are not scored. {chosen.how}"
        parts.append(
            _shown(view.run.suite, "chosen", chosen.headings, chosen.lead, chosen.rows, caption)
        )
    over = view.over
    if over is not None:
        text = f"over seeds. {HOW}"
        parts += _tables(
            view.run.suite, "seeds", over.headings, over.rows, over.table.columns, text
        )
        parts.append(_bars(view.run.suite, over))
    return "\n\n".join(parts) + "\n"


def _tables(
    suite: str,
    group: str,
    leading: Sequence[str],
    rows: Sequence[Row],
    columns: Sequence[Column],
    text: str,
) -> Iterator[str]:
    """Yield the tables of a group, as many as fit the width of a page."""
    room = WIDE - sum(width + GAP for width in _leading_widths(leading, rows))
    blocks = _blocks(columns, rows, room)
    for place, block in enumerate(blocks, start=1):
        part = f" Part {place} of {len(blocks)}." if len(blocks) > 1 else ""
        end = f"-{place}" if place > 1 else ""
        caption = _tex(f"{suite}: {text}{part}")
        label = f"tab:{suite}-{group.replace(' ', '-')}{end}"
        yield _table(leading, rows, block, caption=caption, label=label)


def _bars(suite: str, over: Pooled) -> str:
    """Return the table of errors; what has no value says why in the caption."""
    lead = len(over.headings) + 1
    reasons = dict.fromkeys(shown.reason for row in over.bars for shown in row if shown.reason)
    missing = f" –: {'; '.join(reasons)}." if reasons else ""
    caption = f"error bars. {BARS}{missing}"
    return _shown(suite, "error-bars", over.bar_headings, lead, over.bars, caption)


def _shown(
    suite: str,
    name: str,
    headings: Sequence[str],
    lead: int,
    rows: Sequence[Sequence[Shown]],
    caption: str,
) -> str:
    """Return a table of texts, the first `lead` columns at the left."""
    body = [f"{' & '.join(_tex(shown.text) for shown in row)} " + r"\\" for row in rows]
    head = f"{' & '.join(map(_tex, headings))} " + r"\\"
    spec = "l" * lead + "r" * (len(headings) - lead)
    caption = _tex(f"{suite}: {caption}")
    return _framed(spec, head, body, caption=caption, label=f"tab:{suite}-{name}")


def _leading_widths(leading: Sequence[str], rows: Sequence[Row]) -> list[int]:
    widths = [
        max([len(heading), *(len(row.leading[place]) for row in rows)])
        for place, heading in enumerate(leading)
    ]
    return [min(NAME, widths[0]), *widths[1:]]


def _blocks(columns: Sequence[Column], rows: Sequence[Row], room: float) -> list[list[Column]]:
    """Divide columns into blocks of at most `room` digits, one column at least in each."""
    blocks: list[list[Column]] = []
    left = 0.0
    for column in columns:
        entries = [row.entries.get(column.key) for row in rows]
        texts = [*_heading_lines(column), *(_plain(e) for e in entries if e is not None)]
        width = max(map(len, texts)) + GAP
        if not blocks or width > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= width
    return blocks


def _heading_lines(column: Column) -> list[str]:
    """Return a heading on several short lines: its words, then unit and direction."""
    words = column.quantity.label.split(" ")
    words += [f"({column.protocol})"] if column.protocol else []
    unit = [f"[{column.scale.unit}]"] if column.scale.unit else []
    last = " ".join([*unit, *([column.arrow] if column.arrow else [])])
    return [*words, *([last] if last else [])]


def _table(
    leading: Sequence[str],
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    caption: str,
    label: str,
) -> str:
    long_names = any(len(row.leading[0]) > NAME for row in rows)
    first = rf"p{{{NAME * 0.5:g}em}}" if long_names else "l"
    spec = first + "l" * (len(leading) - 1) + "r" * len(columns)
    stacks = [
        r"\shortstack[r]{" + r"\\{}".join(map(_tex, _heading_lines(c))) + "}" for c in columns
    ]
    head = " & ".join([*map(_tex, leading), *stacks]) + r" \\"
    pads = {c.key: _pads(c, rows) for c in columns}
    body = [_tex_row(row, columns, pads) for row in rows]
    return _framed(spec, head, body, caption=caption, label=label)


def _framed(spec: str, head: str, body: Sequence[str], *, caption: str, label: str) -> str:
    """Return rows in the frame of a table, or of one that breaks over pages."""
    style = [r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"]
    if len(body) > LONG:
        return "\n".join([
            r"\begingroup", *style, rf"\begin{{longtable}}{{{spec}}}",
            rf"\caption{{{caption}}}\label{{{label}}} \\", r"\toprule", head, r"\midrule",
            r"\endhead", r"\bottomrule", r"\endlastfoot", *body, r"\end{longtable}", r"\endgroup",
        ])  # fmt: skip
    return "\n".join([
        r"\begin{table}", r"\centering", *style, rf"\caption{{{caption}}}", rf"\label{{{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{spec}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule",
        r"\end{tabular}}", r"\end{table}",
    ])  # fmt: skip


def _tex_row(row: Row, columns: Sequence[Column], pads: Mapping[str, tuple[int, int, int]]) -> str:
    r"""Return a row; `[` or `*` at its head would belong to the `\\` or `\midrule` before it."""
    name = _tex(row.leading[0])
    if len(row.leading[0]) > NAME:
        name = re.sub(r"([,/\]])(?=.)", r"\1\\allowbreak{}", name)
    cells = [name, *map(_tex, row.leading[1:])]
    cells += [_tex_entry(row, c, pads[c.key]) for c in columns]
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return guard + " & ".join(cells) + r" \\"


def _pads(column: Column, rows: Sequence[Row]) -> tuple[int, int, int]:
    """Return a column's most decimals, and most whole digits and decimals of an error."""
    entries = [e for row in rows if (e := row.entries.get(column.key)) is not None]
    values = [_parts(e.text) for e in entries]
    errors = [_parts(e.spread) for e in entries if e.spread]
    return (
        max((len(after) for _, after in values), default=0),
        max((len(before) for before, _ in errors), default=0),
        max((len(after) for _, after in errors), default=0),
    )


def _parts(text: str) -> tuple[str, str]:
    found = _NUMBER.fullmatch(text)
    return (found[2], found[3] or "") if found else ("", "")


def _tex_entry(row: Row, column: Column, pads: tuple[int, int, int]) -> str:
    """Return a number with invisible digits, so that points and errors of a column align."""
    entry = row.entries.get(column.key)
    if entry is None:
        return r"\emph{failed}" if row.record.status == "failed" else "--"
    if entry.value is None:
        return "--"
    decimals, whole, after = pads
    text = rf"\mathbf{{{entry.text}}}" if entry.best else entry.text
    text += _filled(entry.text, decimals)
    if entry.spread:
        before, _ = _parts(entry.spread)
        lead = rf"\phantom{{{'0' * (whole - len(before))}}}" if len(before) < whole else ""
        text += rf" \pm {lead}{entry.spread}{_filled(entry.spread, after)}"
    elif whole:
        point = "." if after else ""
        text += rf"\phantom{{{{}} \pm {'0' * whole}{point}{'0' * after}}}"
    mark = r"\rlap{$^{\approx}$}" if entry.tied else ""
    return f"${text}${mark}"


def _filled(text: str, decimals: int) -> str:
    """Return invisible decimals that bring a number to a column's."""
    there = len(_parts(text)[1])
    if there >= decimals or not _NUMBER.fullmatch(text):
        return ""
    return rf"\phantom{{{'' if there else '.'}{'0' * (decimals - there)}}}"


def _plain(entry: Entry) -> str:
    return f"{entry.text} + {entry.spread}" if entry.spread else entry.text


def _tex(text: str) -> str:
    """Escape a text for LaTeX; what the usual fonts lack becomes '?'."""
    out = "".join(_SIGNS.get(sign, sign) for sign in " ".join(text.split()))
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in out)


def _comment(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
