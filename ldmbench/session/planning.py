"""From what a person types to a plan: load, check, expand, build."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.plan.build import build_plan
from ldmbench.plan.expand import matches
from ldmbench.plan.graph import subset
from ldmbench.schema.stage import Plan
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import LoadedSuite, load_suite
from ldmbench.suite.shipped import located

DEFAULT_STORE = ".ldmbench"


def usual_store(named: Path | str | None = None) -> Path:
    """Return the store that is named, else the one that is meant; an empty variable names none.

    Raises:
        InputError: the name has no text, which would be the current folder.
    """
    if named is not None and not str(named):
        raise InputError(f"store: found '', which names no folder; such as {DEFAULT_STORE}")
    if named is not None:
        return Path(named)
    return Path(os.environ.get("LDMBENCH_STORE") or DEFAULT_STORE)


def planned(
    suite: Path,
    sets: Sequence[str],
    only: Sequence[str],
    *,
    store: Path,
    verify: bool = False,
    may_compile: bool = True,
    text: str | None = None,
) -> tuple[LoadedSuite, Plan]:
    """Return a checked suite and its plan.

    Args:
        suite: its file, or the name of one that ships.
        sets: what it is changed by.
        only: globs of cells.
        store: where digests of files are remembered.
        verify: forget these first, so that every file is read.
        may_compile: false trains no network compiled.
        text: of a suite that lies in no file, as `load_suite` says.

    Raises:
        InputError: if the suite is wrong, or if no cell is left.
    """
    loaded = load_suite(located(suite) if text is None else suite, sets, text=text)
    check_suite(loaded)
    cache = store / "digests.json"
    if verify:
        cache.unlink(missing_ok=True)
    plan = build_plan(loaded, cache=cache, may_compile=may_compile)
    if only:
        kept = [c for c in plan.cells if any(matches(c.id, glob) for glob in only)]
        if not kept:
            ids = "\n".join(f"  {cell.id}" for cell in plan.cells[:20])
            raise InputError(f"--only {' '.join(only)}: matches no cell; there are:\n{ids}")
        plan = subset(plan, kept)
    if not plan.cells:
        raise InputError(f"{suite}: include and exclude leave no cell")
    return loaded, plan
