"""Lazy tables: name -> "module:attribute", resolved on first use, with did-you-mean."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ldmbench.errors import InputError

T = TypeVar("T")
MOST_OTHER = 4
"""Letters in which a name may differ from the one that was meant."""
LONGEST = 100
"""Letters of a name that is looked for among others."""


def resolve(target: str) -> object:
    """Import "package.module:attribute" and return the attribute."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def lazily(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package that imports its public names on first use.

    Args:
        module: the package's own name.
        names: public name -> the module of the package that holds it.
    """

    def attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return resolve(f"{module}.{names[name]}:{name}")

    return attribute


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Say what was meant: ' (did you mean X?)' or ''.

    A name is near when at most a third of its letters (of the longer one's), and at most four, are
    other, left out, added or exchanged with their neighbour, or when it is whole words at the
    beginning of a longer name (ffhq of ffhq-256). Capitals count as small letters, an underscore
    as a hyphen.
    """
    folded, names = _folded(name), list(allowed)
    near = {other: far for other in names if (far := _distance(folded, _folded(other))) is not None}
    longer = [other for other in names if folded and _folded(other).startswith(f"{folded}-")]
    found = min(near, key=near.__getitem__) if near else next(iter(longer), "")
    return f" (did you mean '{found}'?)" if found else ""


def _folded(name: str) -> str:
    return name.casefold().replace("_", "-")


def _distance(a: str, b: str) -> int | None:
    """Return the optimal string alignment distance of two names; None where they are not near."""
    longer = max(len(a), len(b))
    most = min(longer // 3, MOST_OTHER)
    if longer > LONGEST or abs(len(a) - len(b)) > most:
        return None
    before, row = [0] * (len(b) + 1), [*range(len(b) + 1)]
    for i, first in enumerate(a, start=1):
        older, before, row = before, row, [i]
        for j, second in enumerate(b, start=1):
            best = min(before[j] + 1, row[-1] + 1, before[j - 1] + (first != second))
            if i > 1 and j > 1 and first == b[j - 2] and a[i - 2] == second:
                best = min(best, older[j - 2] + 1)
            row.append(best)
    return row[-1] if row[-1] <= most else None


def pick(table: Mapping[str, T], name: str, noun: str) -> T:
    """Return the row of a table, or say which names there are.

    Raises:
        InputError: if `name` is not a row; the message has the nearest name and all of them.
    """
    if name in table:
        return table[name]
    raise InputError(
        f"unknown {noun} '{name}'{nearest(name, table)}; there are: {', '.join(table)}"
    )
