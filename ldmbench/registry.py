"""Lazy tables: name -> "module:attribute", resolved on first use, with did-you-mean."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ldmbench.errors import InputError

T = TypeVar("T")


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
    """Say what was meant: ' (did you mean X?)' or ''."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


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
