"""Groups: scores of cells that differ in their seeds alone, as one, and differences of two such."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ldmbench.records.axes import axes_of, is_seed
from ldmbench.records.number import Array, Replicas, number
from ldmbench.records.spread import Block, Error, error_of
from ldmbench.schema.record import Record, Score
from ldmbench.schema.stage import Cell

__all__ = [
    "MISSING",
    "ONE_TRAINING",
    "block_of",
    "difference_error",
    "seeds_of",
]

ONE_TRAINING = "the interval holds for these two trainings; it says nothing of other training seeds"
MISSING = "not all seeds have a value that was computed in the same way"
Scored = tuple[Record, Score]


def seeds_of(cell: Cell) -> tuple[str, str]:
    """Return what tells a cell's training, and its samples, from those of other seeds."""
    axes = axes_of(cell)
    training = (f"{n}={v}" for n, v in sorted(axes.items()) if n != "seed" and is_seed(n))
    return ",".join(training) or f"train_seed={cell.train_seed}", axes.get("seed", "")


def block_of(scored: Sequence[Scored], replicates: Replicas, *, alike: bool = True) -> Block | str:
    """Return one score of cells that differ in seeds alone as a block, or why there is none.

    Args:
        scored: cells with that score.
        replicates: where the replicates of a score are found.
        alike: all must have one signature; else cells of one training and seed are averaged.
    """
    if alike and len({score.signature for _, score in scored}) > 1:
        return MISSING
    cells: dict[tuple[str, str], list[Score]] = {}
    for record, score in scored:
        cells.setdefault(seeds_of(record.cell), []).append(score)
    trainings, seeds = (tuple(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    if any(s.value is None for own in cells.values() for s in own):
        return MISSING
    if len(cells) < len(trainings) * len(seeds) or len({len(own) for own in cells.values()}) > 1:
        return "not every training seed has every sample seed"
    made = [[_mean_cell(cells[t, s], replicates) for s in seeds] for t in trainings]
    drawn = [stack for row in made for _, _, stack in row if stack is not None]
    whole = len(drawn) == len(cells) and len({len(stack) for stack in drawn}) == 1
    return Block(
        trainings,
        seeds,
        np.array([[value for value, _, _ in row] for row in made]),
        np.array([[error for _, error, _ in row] for row in made]),
        np.array(drawn).reshape(len(trainings), len(seeds), -1) if whole else None,
    )


def _mean_cell(scores: Sequence[Score], replicates: Replicas) -> tuple[float, float, Array | None]:
    """Return value, standard error and replicates of a cell, or of the mean of several."""
    values = [score.value or 0.0 for score in scores]
    stacks = [replicates(score) for score in scores]
    errors = [_error(s, stack) for s, stack in zip(scores, stacks, strict=True)]
    there = [stack for stack in stacks if stack is not None]
    whole = len(there) == len(stacks) and len({len(stack) for stack in there}) == 1
    mean = np.mean(there, axis=0) if whole else None
    return float(np.mean(values)), float(np.mean(errors)), mean


def _error(score: Score, stack: Array | None) -> float:
    if score.low is None or score.high is None:
        return math.nan
    found = number(
        score.value or 0.0, score.low, score.high, confidence=score.confidence, replicates=stack
    )
    return (found.down + found.up) / 2


def difference_error(a: Block, b: Block) -> tuple[float, Error | None, str]:
    """Return the difference of two blocks, B - A, its error, and how it was found.

    Trainings are paired where two or more seeds are common, and so are sample seeds where one is;
    else the two sides count as independent in them.
    """
    a, b, pairs = _common(a, b)
    gap = b.mean - a.mean
    size = f"{_counted(a, b)}, "
    trainings = len(a.trainings), len(b.trainings)
    sampling, known, how = _sampling(a, b)
    if max(trainings) > 1 and min(trainings) == 1:
        return gap, None, f"no interval: {size}and training seeds need 2 on each side"
    if math.isnan(sampling):
        return gap, None, f"no interval: {size}{how}"
    if max(trainings) == 1:
        return gap, Error(sampling, known), f"{size}{how}, one training each"
    blocks = [b.minus(a)] if pairs else [a, b]
    error = error_of(blocks, sampling, known)
    paired = "paired by training seed" if pairs else "trainings unpaired"
    freedom = f"t with {error.freedom:.3g} degrees of freedom"
    return gap, error, f"{size}{paired}, {freedom}, {how}"


def _common(a: Block, b: Block) -> tuple[Block, Block, bool]:
    """Return both with what they have in common, and whether trainings are paired."""
    trainings = [name for name in a.trainings if name in b.trainings]
    seeds = [name for name in a.seeds if name in b.seeds]
    alone = len(a.trainings) == len(b.trainings) == 1
    pairs = len(trainings) > 1 or (alone and bool(trainings))
    columns = (seeds, seeds) if seeds else (a.seeds, b.seeds)
    rows = (trainings, trainings) if pairs else (a.trainings, b.trainings)
    return a.part(rows[0], columns[0]), b.part(rows[1], columns[1]), pairs and bool(seeds)


def _sampling(a: Block, b: Block) -> tuple[float, float, str]:
    """Return the sampling variance of a difference of means, its freedom, and how it was found."""
    one, other = a.replicates, b.replicates
    if one is not None and other is not None and one.shape[2] == other.shape[2]:
        apart = other.mean(axis=(0, 1)) - one.mean(axis=(0, 1))
        still = sum(float(x.unmoved.mean()) / x.values.size for x in (a, b))
        return float(apart.var(ddof=1)) + still, math.inf, f"{len(apart)} replicates"
    if a.seeds == b.seeds and len(a.seeds) > 1:
        columns = b.values.mean(axis=0) - a.values.mean(axis=0)
        variance = float(columns.var(ddof=1)) / len(columns)
        return variance, float(len(columns) - 1), "sampling from the sample seeds"
    return a.of_images + b.of_images, math.inf, "sampling from the intervals, unpaired"


def _counted(a: Block, b: Block) -> str:
    def sizes_of(block: Block) -> str:
        return f"{len(block.trainings)} x {len(block.seeds)}"

    sizes = sizes_of(a) if sizes_of(a) == sizes_of(b) else f"{sizes_of(a)} and {sizes_of(b)}"
    return f"mean over {sizes} training and sample seeds"
