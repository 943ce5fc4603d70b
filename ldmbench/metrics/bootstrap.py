"""One door to the intervals: the replicates of a metric by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ldmbench.metrics.diversity import spatial_family, vendi_family
from ldmbench.metrics.families import (
    clip_family,
    logits_family,
    moments_family,
    neighbours_family,
    pairs_family,
)
from ldmbench.metrics.infinity import infinity_family
from ldmbench.metrics.memorize import memorization_family
from ldmbench.metrics.paired import lpips_family
from ldmbench.metrics.resample import Replicates
from ldmbench.registry import pick

__all__ = ["FAMILIES", "bootstrap"]

# fmt: off
FAMILIES: dict[str, Callable[..., dict[str, Replicates]]] = {
    "fid":             moments_family,
    "kid":             neighbours_family,
    "precision":       neighbours_family,
    "recall":          neighbours_family,
    "density":         neighbours_family,
    "coverage":        neighbours_family,
    "inception_score": logits_family,
    "clip_score":      clip_family,
    "psnr":            pairs_family,
    "ssim":            pairs_family,
    "lpips":           lpips_family,
    "sfid":            spatial_family,
    "fd_infinity":     infinity_family,
    "vendi_score":     vendi_family,
    "memorization":    memorization_family,
}
# fmt: on


def bootstrap(metric: str, *inputs: object, **options: Any) -> Replicates:
    """Return a score with its interval and its 200 replicates, drawn from seeds common to all.

    Args:
        metric: a row of FAMILIES.
        inputs: what the metric takes: generated and reference features, logits, image pairs,
            image and text features, or generated, training and held-out features.
        options: of the metric (k, rule, subsets, splits, ...; paths of LPIPS), and confidence.

    Raises:
        InputError: an unknown metric, or inputs that the metric refuses.
    """
    family = pick(FAMILIES, metric, "metric")
    if family is neighbours_family:
        dense = metric in ("density", "coverage")
        if dense:  # its own names for them are those of the metric that is asked for
            options = {f"density_{n}" if n in ("k", "rule") else n: v for n, v in options.items()}
        else:
            options["density_k"] = None
        if dense or metric == "kid":
            options["k"] = 1  # what is not asked for needs no samples
    return family(*inputs, **options)[metric]
