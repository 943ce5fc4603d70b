"""Words: how a verdict's numbers are written, the same in the terminal, in Markdown and in XML."""

from __future__ import annotations

from ldmbench.gating.verdict import Item, Outcome

__all__ = ["change_of", "headline", "span_of", "title_of", "values_of"]


def title_of(item: Item) -> str:
    """Return the measure's name, with its protocol if it has one."""
    return f"{item.name} ({item.protocol})" if item.protocol else item.name


def values_of(item: Item) -> str:
    """Return 'accepted -> now'."""
    if item.now is None:
        return "" if item.before is None else f"{item.before:.4g} -> none"
    return f"{item.now:.4g}" if item.before is None else f"{item.before:.4g} -> {item.now:.4g}"


def change_of(item: Item) -> str:
    """Return the change: '+3.1 %', or '+0.012' where it is absolute."""
    return "" if item.change is None else _amount(item.change, relative=item.relative)


def span_of(item: Item) -> str:
    """Return the interval of the change, and its scale: '[-1 %, +7 %] in yardsticks'."""
    if item.low is None or item.high is None:
        return ""
    ends = (_amount(end, relative=item.relative) for end in (item.low, item.high))
    return f"[{', '.join(ends)}]{' in yardsticks' if item.in_yardsticks else ''}"


def _amount(value: float, *, relative: bool) -> str:
    return f"{100 * value:+.3g} %" if relative else f"{value:+.3g}"


def headline(outcome: Outcome) -> str:
    """Return the whole gate in one line."""
    counts = [f"{count} {verdict}" for verdict, count in outcome.counts.items() if count]
    if outcome.failed:
        counts.insert(0, f"{len(outcome.failed)} failed cells")
    return f"{outcome.verdict}: {', '.join(counts) or 'nothing was judged'}"
