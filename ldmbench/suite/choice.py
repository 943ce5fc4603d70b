"""Rules of `choose`: a field of sampling that is chosen on seeds that are not scored."""

from __future__ import annotations

from collections.abc import Iterator

from ldmbench.catalog.metrics import METRICS
from ldmbench.registry import nearest
from ldmbench.schema.suite import Suite
from ldmbench.suite.axes import axes_of, many
from ldmbench.suite.read import Loc

__all__ = ["check_choice"]


def check_choice(suite: Suite) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of what a suite says of its choice."""
    choose = suite.choose
    if choose is None:
        return
    if choose.axis not in dict(axes_of(suite.sample)):
        yield (
            ("choose", "axis"),
            f"found {choose.axis}, of which sample has one value; write a list under"
            f" sample.{choose.axis}, or leave choose out",
        )
    ranked = [name for name in suite.metrics if _ranks(name)]
    if choose.metric not in ranked:
        yield (
            ("choose", "metric"),
            f"found '{choose.metric}'{nearest(choose.metric, ranked)}; allowed: a metric of samples"
            f" that the suite has and that has a better direction: {', '.join(ranked) or 'none'}",
        )
    scored = many(suite.sample.seed)
    shared = sorted({*scored} & {*choose.seeds})
    if shared:
        yield (
            ("choose", "seeds"),
            f"found {', '.join(map(str, shared))}, which sample.seed scores; a choice needs seeds"
            f" of its own, such as {max((*scored, *choose.seeds)) + 1}",
        )
    if len({*choose.seeds}) < len(choose.seeds):
        yield ("choose", "seeds"), "found one seed twice; write each once"


def _ranks(name: str) -> bool:
    row = METRICS.get(name)
    return bool(row and row.better and row.family.against in ("nothing", "reference", "training"))
