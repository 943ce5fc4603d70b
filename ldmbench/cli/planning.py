"""From what a person types to a plan: load, check, expand, build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.plan.build import build_plan
from ldmbench.plan.expand import matches
from ldmbench.plan.graph import subset
from ldmbench.schema.stage import Plan
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import LoadedSuite, load_suite


def planned(
    suite: Path, sets: Sequence[str], only: Sequence[str], *, store: Path
) -> tuple[LoadedSuite, Plan]:
    """Return a checked suite and its plan.

    Raises:
        InputError: if the suite is wrong, or if no cell is left.
    """
    loaded = load_suite(suite, sets)
    check_suite(loaded)
    plan = build_plan(loaded, cache=store / "digests.json")
    if only:
        kept = [c for c in plan.cells if any(matches(c.id, glob) for glob in only)]
        if not kept:
            ids = "\n".join(f"  {cell.id}" for cell in plan.cells[:20])
            raise InputError(f"--only {' '.join(only)}: matches no cell; there are:\n{ids}")
        plan = subset(plan, kept)
    if not plan.cells:
        raise InputError(f"{suite}: include and exclude leave no cell")
    return loaded, plan
