"""Samples larger than those of training: which models can make them, and what to know of them.

A network of convolutions, shown a condition of image shape, samples at any size (arXiv:2112.10752,
section 4.3.2). Nothing else says what is where in a larger image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ldmbench.catalog.tasks import TASKS
from ldmbench.plan.expand import Point
from ldmbench.plan.images import plain_name
from ldmbench.plan.traits import Traits
from ldmbench.schema.data import LARGEST_SCENE
from ldmbench.schema.sample import SampleParams, factors_of
from ldmbench.suite.read import Loc

__all__ = ["cautions", "problems"]

Problem: TypeAlias = tuple[Loc, str]
MANY = 4096
"""Positions of a latent over which attention is slow."""
PLACE: Loc = ("sample", "size")


def problems(point: Point, traits: Traits) -> Iterator[Problem]:
    """Yield (place, problem) of a model or data that cannot give larger samples.

    Args:
        point: of a cell.
        traits: of its model.
    """
    size = point.size
    if size == "1":
        return
    why = _why_not(traits)
    if why:
        name = plain_name(point.model)
        yield (
            PLACE,
            f"found {size}, but models.{name} {why}; allowed: 1, or"
            f" exclude: ['{name}*size={size}]*']",
        )
    side = point.data.resolution * max(factors_of(size))
    if point.data.kind == "shapes" and side > LARGEST_SCENE:
        yield (
            PLACE,
            f"found {size}, which takes shapes of {side} pixels; they are drawn at {LARGEST_SCENE}"
            " at most, so write a smaller size or data.resolution",
        )


def _why_not(traits: Traits) -> str | None:
    """Return why a model has no larger samples, as the end of a sentence about it."""
    task = TASKS.get(traits.task or "")
    if task and task.joins:
        return None
    spatial = ", ".join(row.name for row in TASKS.values() if row.joins)
    task_name = "" if traits.conditioning == "none" else f", only a {traits.task}"
    return f"has no condition of image shape{task_name}; models that have one are of: {spatial}"


def cautions(point: Point, traits: Traits, written: SampleParams) -> Iterator[str]:
    """Yield what to know of a cell of larger samples.

    Args:
        point: of the cell.
        traits: of its model.
        written: the section `sample` of the suite, which may sweep.
    """
    if traits.is_own and written.size not in ("1", ("1",)):
        yield (
            "sample.size does not reach this model, which samples by itself; its images have the"
            " side of data"
        )
    size, f = point.size, traits.f or 1
    if size == "1":
        return
    rows, columns = factors_of(size)
    yield (
        f"samples have {rows} x {columns} times the side of training: features are computed on one"
        " patch of each at the side of training (patches of the grid in turn) and compared with"
        " the reference of size 1"
    )
    latent = point.data.resolution // f
    positions = latent**2 * rows * columns
    if positions > MANY:
        yield (
            f"latents of {latent * rows} x {latent * columns} have {positions:,} positions: layers"
            " of attention at the full side take time, and may take memory, by their square"
        )
