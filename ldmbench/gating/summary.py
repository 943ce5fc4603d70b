"""The gate as Markdown, for a job's summary page, and as text for a terminal of 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ldmbench.gating.verdict import ORDER, Item, Outcome
from ldmbench.gating.words import change_of, headline, span_of, title_of, values_of

__all__ = ["markdown", "terminal"]

MARKS = {
    "regressed": "🔴 regressed",
    "incomparable": "⛔ incomparable",
    "inconclusive": "🟡 inconclusive",
    "improved": "🔵 improved",
    "pass": "🟢 pass",
}
MOST_ROWS = 200
"""Rows of one table; job summaries are cut at a megabyte."""


def markdown(outcome: Outcome) -> str:
    """Return a page: the verdict, what needs attention, the rest folded away."""
    lines = [
        f"## ldmbench gate: {_safe(headline(outcome))}",
        "",
        f"Run {_safe(outcome.run)} against {_safe(outcome.baseline)}.",
        "",
    ]
    lines += [f"- failed: {_safe(cell)}: {_safe(why)}" for cell, why in outcome.failed.items()]
    lines += [f"- {_safe(note)}" for note in outcome.notes]
    bad = _sorted(i for i in outcome.items if i.verdict != "pass")
    good = [i for i in outcome.items if i.verdict == "pass"]
    if bad:
        lines += ["", *_table(bad)]
    if good:
        heading = f"<details><summary>{len(good)} passed</summary>"
        lines += ["", heading, "", *_table(good), "", "</details>"]
    return "\n".join(lines) + "\n"


def _table(items: Sequence[Item]) -> Iterator[str]:
    yield "| verdict | cell | measure | accepted → now | change | interval | why |"
    yield "|---|---|---|---:|---:|---:|---|"
    for item in items[:MOST_ROWS]:
        row = [
            MARKS[item.verdict],
            _safe(item.cell),
            _safe(title_of(item)),
            values_of(item).replace("->", "→"),
            change_of(item),
            _safe(span_of(item)),
            _safe(item.reason),
        ]
        yield f"| {' | '.join(row)} |"
    if len(items) > MOST_ROWS:
        yield f"| … | {len(items) - MOST_ROWS} more rows | | | | | |"


def _sorted(items: Iterator[Item] | Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda item: ORDER.index(item.verdict))


def _safe(text: str) -> str:
    """Return text that Markdown and HTML show as it is."""
    flat = " ".join(text.split())
    escaped = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~!])", r"\\\1", escaped)


def terminal(outcome: Outcome, *, everything: bool = False, moved: bool = False) -> str:
    """Return lines for people: by cell, what did not pass first.

    Args:
        outcome: of a gate.
        everything: also what passed.
        moved: also what passed with another number than was accepted.
    """
    lines: list[str] = []
    shown = [
        i
        for i in _sorted(outcome.items)
        if everything or i.verdict != "pass" or (moved and i.before != i.now)
    ]
    one = len({item.protocol for item in shown if item.protocol}) < 2
    titles = {id(i): i.name if one else title_of(i) for i in shown}
    room = max(map(len, titles.values()), default=0)
    values = max((len(values_of(item)) for item in shown), default=0)
    cell = None
    for item in shown:
        if item.cell != cell:
            lines.append(item.cell)
            cell = item.cell
        lines += _lines(item, titles[id(item)], room, values)
    lines += [f"failed {cell}: {reason}" for cell, reason in outcome.failed.items()]
    lines.append(headline(outcome))
    return "\n".join(lines)


def _lines(item: Item, title: str, room: int, values: int) -> Iterator[str]:
    numbers = f"{values_of(item):<{values}} {change_of(item):>7} {span_of(item)}".rstrip()
    yield f"  {item.verdict:<12} {title:<{room}} {numbers}".rstrip()
    if item.verdict in ("incomparable", "inconclusive"):
        yield f"               {item.reason}"
