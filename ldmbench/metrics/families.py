"""Metric families: scores that share their work are made together, each with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import check_features
from ldmbench.metrics.blocks import Report, Table, sweep, tables
from ldmbench.metrics.clip_score import clip_score
from ldmbench.metrics.engine import Engine, engine_of
from ldmbench.metrics.frechet import check_pair, check_side, overlap
from ldmbench.metrics.frechet_influence import frechet_influences
from ldmbench.metrics.inception_score import inception_score
from ldmbench.metrics.influence import (
    Influences,
    coverage_influences,
    density_influences,
    kernel_influences,
    logit_influences,
    share_influences,
)
from ldmbench.metrics.kernel import KernelSums, Subsets, far_distance, kernel_tables
from ldmbench.metrics.kernel_far import centre_of
from ldmbench.metrics.manifold import BallCount, Rule, check_k
from ldmbench.metrics.moments import Moments, gather
from ldmbench.metrics.neighbours import NearestSearch, Neighbourhood
from ldmbench.metrics.paired import psnr, ssim
from ldmbench.metrics.resample import Draws, Replicates, mean_over_samples, replicate

__all__ = [
    "clip_family",
    "kdd_family",
    "logits_family",
    "moments_family",
    "neighbours_family",
    "pairs_family",
]


def moments_family(
    generated: object,
    reference: object,
    *,
    reference_moments: Moments | None = None,
    paired: bool = False,
    confidence: float = 0.95,
    engine: Engine | None = None,
    report: Report | None = None,
) -> dict[str, Replicates]:
    """Return {"fid": ...}; `paired` moves its interval and replicates, not its value.

    Args:
        generated: (N, D) features, N >= 2.
        reference: (M, D) features; or Moments, and then the interval takes them as fixed.
        reference_moments: moments of the reference features where they are known already.
        paired: generated i is a reconstruction of reference i (N = M), so that fresh draws
            bring both anew: they are resampled together.
        confidence: of the interval.
        engine: where products are formed; None: where the features are, else the processor.
        report: called with the fraction done.

    Raises:
        InputError: bad features or unlike widths; `paired` with unlike numbers or Moments.
    """
    # Check both sides; a reference of moments alone is fixed.
    place = engine or engine_of(generated, reference)
    if paired and isinstance(reference, Moments):
        raise InputError("moments hold no samples to pair with; give the reference's features")
    if isinstance(reference, Moments):
        x, y = check_features(generated, "generated"), None
        known, note = reference, "reference taken as fixed"
        check_side(known, x)
    else:
        x, y = check_pair(generated, reference)
        if paired and len(x) != len(y):
            raise InputError(f"{len(x)} generated and {len(y)} reference features are no pairs")
        known = reference_moments or gather(y, engine=place)
        note = "pairs resampled" if paired else "both sets resampled"
    # The distance, from the spectrum that both covariances share.
    first = gather(x, engine=place)
    _tell(report, 0.4)
    shared = overlap(first, known, x, y)
    delta = first.mean - known.mean
    value = float(delta @ delta + np.trace(first.cov) + np.trace(known.cov)) - 2.0 * shared.trace
    _tell(report, 0.6)
    # The interval, from each sample's influence on the distance.
    found = frechet_influences(x, y, first, known, shared=shared, paired=paired)
    _tell(report, 1.0)
    made = replicate(
        value,
        found.generated,
        found.reference,
        excess=found.excess,
        floor=found.least,
        confidence=confidence,
        note=note,
    )
    return {"fid": made}


def neighbours_family(
    generated: object,
    reference: object,
    *,
    k: int = 3,
    rule: Rule = "le",
    density_k: int | None = 5,
    density_rule: Rule = "lt",
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
    confidence: float = 0.95,
    engine: Engine | None = None,
    kept: dict[object, Any] | None = None,
    report: Report | None = None,
) -> dict[str, Replicates]:
    """Return kid, precision, recall, density and coverage from one pass over the three products.

    The kernel distance does not depend on the size of its subsets but for noise, so these shrink
    where the sets are small, as `method` says; no k does.

    Args:
        generated: (N, D) features.
        reference: (M, D) features.
        k: neighbours of precision and recall.
        rule: border rule of precision and recall.
        density_k: neighbours of density and coverage; None leaves these two out.
        density_rule: border rule of density and coverage.
        subsets: subsets of the kernel distance.
        subset_size: samples in each; min(N, M) where the sets are smaller.
        seed: of the subsets.
        confidence: of the intervals.
        engine: where products are formed; None: where the features are, else the processor.
        kept: what calls with the very same reference have found of it: its radii and kernel sums
            are read from there, and put there.
        report: called with the fraction done.

    Raises:
        InputError: bad features, unlike widths, or not more than a k samples on a side.
    """
    x, y = check_pair(generated, reference)
    # Both sets must be larger than each neighbourhood.
    ks = (k,) if density_k is None else (k, density_k)
    for one in ks:
        check_k(len(x), one, "generated")
        check_k(len(y), one, "reference")
    # Draw the subsets of the kernel distance, and who belongs to which.
    size = min(subset_size, len(x), len(y))
    drawn = Subsets.draw(len(x), len(y), subsets=subsets, size=size, seed=seed)
    place = engine or engine_of(generated, reference)
    first, second = kernel_tables(*tables(x, y, engine=place))
    shared = drawn.shared()
    in_x, in_y = (
        drawn.members(rows if shared else rows[:0], len(side), first.dtype)
        for rows, side in ((drawn.generated, x), (drawn.reference, y))
    )
    sides = ((in_x, None), (in_y, None), (in_x, in_y))
    sums = [KernelSums(rows, cols, first.engine) for rows, cols in sides]
    # Radii and kernel sums within the reference: once for all generated sets.
    kept = {} if kept is None else kept
    known = (ks, subsets, size, seed, shared, len(x), len(y), second.dtype, second.slack)
    if known not in kept:
        hood = _own(second, ks, sums[1], _share(report, 0.0, 0.25))
        kept[known] = hood, sums[1]
    hood_y, sums[1] = kept[known]
    # The same within the generated set, which recall needs.
    hood_x = _own(first, (k,), sums[0], _share(report, 0.25, 0.5))
    # One pass over generated x reference serves all five scores.
    near = BallCount(first, second, hood_y, k, rule, ring=True)
    back = BallCount(first, second, hood_x, k, rule, balls="rows", ring=True)
    dense = [BallCount(first, second, hood_y, one, density_rule, ring=True) for one in ks[1:]]
    sweep(first, second, [sums[2], near, back, *dense], report=_share(report, 0.5, 1.0))
    # The kernel distance; far from zero it is computed about the centre.
    centre = centre_of(y)
    if centre is not None:
        kid = far_distance(x, y, centre, drawn)
    else:
        kid = drawn.combine(*sums) if shared else drawn.apart(first, second)
    found = kernel_influences(x, y, drawn, (sums[0], sums[1], sums[2]), centre=centre)
    draws = Draws()
    made = {
        "kid": replicate(
            kid.mean,
            found.generated,
            found.reference,
            excess=found.excess,
            floor=found.least,
            confidence=confidence,
            draws=draws,
            note=f"{subsets} subsets of {size}",
        )
    }
    # Shares of points in balls, with the influence of each sample.
    shares = {
        "precision": ((near.per_point > 0).mean(), k, share_influences(near, hood_y, k)),
        "recall": ((back.per_point > 0).mean(), k, _turned(share_influences(back, hood_x, k))),
    }
    for balls, wide in zip(dense, ks[1:], strict=True):
        value, covered = balls.per_point.mean() / wide, (balls.per_ball > 0).mean()
        shares["density"] = value, wide, density_influences(balls, hood_y, wide)
        shares["coverage"] = covered, wide, coverage_influences(balls, hood_y, wide)
    # Intervals, all from the same resampled positions.
    for name, (value, many, each) in shares.items():
        made[name] = replicate(
            float(value),
            each.generated,
            each.reference,
            excess=each.excess,
            least=0.0,
            share=name != "density",
            draws=draws,
            confidence=confidence,
            note=f"k = {many}",
        )
    return made


def kdd_family(
    generated: object,
    reference: object,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    engine: Engine | None = None,
) -> dict[str, Replicates]:
    """Return {"kdd": ...} with its interval; arguments and errors are those of `kernel.kdd`."""
    x, y = check_pair(generated, reference)
    drawn = Subsets.draw_as_dgm_eval(len(x), len(y), subsets=subsets, size=subset_size, seed=seed)
    place, centre = engine or engine_of(generated, reference), centre_of(y)
    first, second = kernel_tables(*tables(x, y, engine=place))
    sums = drawn.sums(first, second)
    far = None if centre is None else far_distance(x, y, centre, drawn)
    found = kernel_influences(x, y, drawn, sums, centre=centre)
    made = replicate(
        (far or drawn.combine(*sums)).mean,
        found.generated,
        found.reference,
        excess=found.excess,
        floor=found.least,
        confidence=confidence,
        note=f"{subsets} subsets of {drawn.generated.shape[1]}",
    )
    return {"kdd": made}


def logits_family(
    logits: object,
    *,
    splits: int = 10,
    shuffle_seed: int | None = 2020,
    confidence: float = 0.95,
    report: Report | None = None,
) -> dict[str, Replicates]:
    """Return {"inception_score": ...}.

    Args:
        logits: (N, C).
        splits: parts over which the score is averaged.
        shuffle_seed: of the permutation before; None keeps the order.
        confidence: of the interval.
        report: called with the fraction done.

    Raises:
        InputError: bad logits, or more splits than samples.
    """
    x = check_features(logits, "logit", least=1)
    value = inception_score(x, splits=splits, shuffle_seed=shuffle_seed).mean
    order = np.arange(len(x))
    if shuffle_seed is not None:
        order = np.random.RandomState(shuffle_seed).permutation(len(x))
    found = logit_influences(x[order], splits)
    influence = np.empty(len(x))
    influence[order] = found.generated
    _tell(report, 1.0)
    made = replicate(
        value,
        influence,
        excess=found.excess,
        least=1.0,
        confidence=confidence,
        note=f"{splits} splits",
    )
    return {"inception_score": made}


def pairs_family(
    a: object,
    b: object,
    *,
    convention: str = "skimage_ssim_gaussian_wang",
    confidence: float = 0.95,
    report: Report | None = None,
) -> dict[str, Replicates]:
    """Return {"psnr": ..., "ssim": ...}: means over uint8 NHWC pairs.

    Raises:
        InputError: not uint8 images, or unlike shapes.
    """
    first = psnr(a, b)
    _tell(report, 0.5)
    second = ssim(a, b, convention=convention)
    _tell(report, 1.0)
    each = {"psnr": first, "ssim": second}
    return {name: mean_over_samples(values, confidence) for name, values in each.items()}


def clip_family(
    image_features: object,
    text_features: object,
    *,
    confidence: float = 0.95,
    report: Report | None = None,
) -> dict[str, Replicates]:
    """Return {"clip_score": ...}: the mean over pairs of (N, D) features.

    Raises:
        InputError: bad features or unlike shapes.
    """
    each = clip_score(image_features, text_features)
    _tell(report, 1.0)
    return {"clip_score": mean_over_samples(each, confidence)}


def _turned(found: Influences) -> Influences:
    """Return influences whose points are the reference and whose ball owners are generated."""
    assert found.reference is not None
    return Influences(found.reference, found.generated, found.excess)


def _own(
    table: Table, ks: tuple[int, ...], sums: KernelSums, report: Report | None
) -> Neighbourhood:
    search = NearestSearch(table, ks)
    sweep(table, None, [sums, search], report=report)
    return search.finish()


def _share(report: Report | None, start: float, stop: float) -> Report | None:
    if report is None:
        return None
    return lambda fraction: report(start + (stop - start) * fraction)


def _tell(report: Report | None, fraction: float) -> None:
    if report is not None:
        report(fraction)
