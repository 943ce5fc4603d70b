"""Axes: a cell as fields that may differ one by one, read from its id."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ldmbench.schema.stage import Cell

__all__ = ["axes_of", "is_seed", "split_title", "title_of"]

_SAMPLING = re.compile(
    r"(?P<sampler>[^/]+?)-(?P<steps>\d+)(?:-eta(?P<eta>[^@\[/]+))?(?:@(?P<progress>[^\[/]+))?"
    r"(?:\[(?P<rest>[^/]*)\])?/g(?P<guidance>[^/]+)/s(?P<seed>\d+)"
)
_UNSAID = {"eta": "0", "progress": "1", "size": "1"}
"""What an id does not say where it is this."""


def axes_of(cell: Cell) -> dict[str, str]:
    """Return the fields of a cell as its id writes them; equal fields mean equal ids.

    Those of the model are f, channels and the like, those of the dataset begin with `data.`. A
    part that is not written as suites write it is one field.
    """
    model, own = split_title(cell.model)
    dataset, its = split_title(cell.dataset)
    rest = cell.id.removeprefix(f"{cell.model}/{cell.dataset}/")
    found = {"model": model, **own, "dataset": dataset}
    found |= {f"data.{name}": value for name, value in its.items()}
    if rest == f"{cell.model}/{cell.dataset}":  # a first stage alone, which is not sampled
        return found
    matched = _SAMPLING.fullmatch(rest)
    if matched is None:
        return {**found, "sampling": rest}
    fields = {name: value for name, value in matched.groupdict().items() if value is not None}
    more = _split(fields.pop("rest", ""))
    if more is None:
        return {**found, "sampling": rest}
    return {**found, **_UNSAID, **fields, **more}


def is_seed(axis: str) -> bool:
    """Tell whether an axis of `axes_of` only draws anew what is measured."""
    return axis == "seed" or axis.rpartition(".")[2] == "train_seed"


def split_title(title: str) -> tuple[str, dict[str, str]]:
    """Split a title such as ldm[f=4,channels=64] into its name and its axes."""
    name, bracket, inside = title.partition("[")
    axes = _split(inside[:-1]) if bracket and title.endswith("]") else None
    return (title, {}) if axes is None else (name, axes)


def title_of(name: str, axes: Mapping[str, str]) -> str:
    """Return the title that `split_title` splits."""
    inside = ",".join(f"{axis}={value}" for axis, value in axes.items())
    return f"{name}[{inside}]" if inside else name


def _split(inside: str) -> dict[str, str] | None:
    """Return the axes of NAME=VALUE,NAME=VALUE, or None where that is not how it is written."""
    pairs = [part.partition("=") for part in inside.split(",")] if inside else []
    if not all(name and equals for name, equals, _ in pairs):
        return None
    axes = {name: value for name, _, value in pairs}
    return axes if len(axes) == len(pairs) else None
