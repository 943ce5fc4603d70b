"""The axes of a suite, and how many cells they make: by multiplication, without a list of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from ldmbench.schema import data, models, sample, suite
from ldmbench.schema.base import AxisValue
from ldmbench.schema.suite import Suite
from ldmbench.schema.sweep import is_axis, is_list_field
from ldmbench.suite.read import Loc

N = TypeVar("N", bound=BaseModel)
MOST_CELLS = 10_000
"""Combinations of a suite, before include and exclude leave some out."""


def check_size(written: Suite) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of axes that make more cells than a suite may have."""
    ways, sets = _ways(written), {n: _count(noun) for n, noun in written.data.items()}
    everywhere = sum(sets.values())
    trained = {name: _count(noun) for name, noun in written.models.items()}
    shown = {n: sets.get(noun.data or "", everywhere) for n, noun in written.models.items()}
    cells = ways * sum(count * shown[name] for name, count in trained.items())
    if cells > MOST_CELLS:
        yield (
            ("sample",) if ways > 1 else ("models",),
            f"the axes give {cells:,} cells ({sum(trained.values()):,} of models x {everywhere:,}"
            f" of data x {ways:,} of sample); allowed: {MOST_CELLS:,}; write fewer values or"
            " several suites",
        )


def _ways(written: Suite) -> int:
    """Return how many ways of sampling there are, those on seeds of a choice too."""
    ways, scored = _count(written.sample), len(many(written.sample.seed))
    more = len(written.choose.seeds) if written.choose else 0
    return ways // scored * (scored + more)


def _count(noun: BaseModel) -> int:
    return math.prod(len(values) for _, values in axes_of(noun))


def axes_of(noun: BaseModel, above: str = "") -> Iterator[tuple[str, Sequence[AxisValue]]]:
    """Yield (dotted path, values) of every field of a written noun that holds an axis."""
    for name, info in plain_class(noun).model_fields.items():
        value, path = getattr(noun, name), f"{above}{name}"
        if isinstance(value, BaseModel):
            yield from axes_of(value, f"{path}.")
        elif is_axis(info) and isinstance(value, tuple):
            nested = any(isinstance(item, tuple) for item in value)
            if nested or not is_list_field(info.annotation):
                yield path, value


@cache
def _classes() -> dict[str, type[BaseModel]]:
    found = (value for module in (data, models, sample, suite) for value in vars(module).values())
    return {v.__name__: v for v in found if isinstance(v, type) and issubclass(v, BaseModel)}


def plain_class(noun: N) -> type[N]:
    """Return a noun's own class, above its written form, which has the same name."""
    return cast("type[N]", _classes()[type(noun).__name__])


def many(value: Any) -> tuple[Any, ...]:
    """Return an axis as it is, and one value as an axis of one."""
    return value if isinstance(value, tuple) else (value,)
