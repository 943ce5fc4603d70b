"""scores: features (or image pairs) -> one metric family with intervals and replicates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ldmbench.features.lpips import load_lpips
from ldmbench.metrics.arrays import check_features
from ldmbench.metrics.diversity import vendi_family
from ldmbench.metrics.engine import Engine, engine_of
from ldmbench.metrics.families import clip_family, logits_family, moments_family, neighbours_family
from ldmbench.metrics.infinity import infinity_family
from ldmbench.metrics.memorize import memorization_family
from ldmbench.metrics.moments import Moments, gather
from ldmbench.metrics.paired import psnr, ssim
from ldmbench.metrics.resample import Replicates, mean_over_samples
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, rows_of
from ldmbench.stages.kept import kept_of
from ldmbench.stages.own import own_scores

PAIRS = 64  # of images, in memory at a time; whole micro-batches of LPIPS


def run(task: Task, report: Report) -> None:
    """Compute every score of one family; which of them are shown is the suite's affair."""
    made = _FAMILIES[task.params["family"]](task, tell=lambda done: report(done, ""))
    replicates: dict[str, Any] = {name: found.replicates for name, found in made.items()}
    (task.output / "scores.json").write_text(
        json.dumps({name: _entry(found) for name, found in made.items()}, indent=1),
        encoding="utf-8",
    )
    np.savez(task.output / "replicates.npz", **replicates)
    report(1.0, "")


def _entry(found: Replicates) -> dict[str, Any]:
    """Return a score as strict JSON: what is not finite is null, with the reason."""
    finite = np.isfinite(found.value)
    return {
        "value": float(found.value) if finite else None,
        "low": _finite(found.low),
        "high": _finite(found.high),
        "confidence": found.confidence,
        "n": int(found.n),
        "method": found.method,
        "reason": None if finite else f"the value is {found.value}",
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _rows(task: Task, role: str, name: str = "features.npy") -> np.ndarray:
    return rows_of(task.inputs[role], name).all()


def _engine(task: Task) -> Engine:
    """Return where products are formed; only CUDA has the float64 they need."""
    return engine_of(device=task.device if task.device.startswith("cuda") else "cpu")


def _moments(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    return _frechet(task, "features", ("mu", "sigma"), tell=tell)


def _spatial(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    return {"sfid": _frechet(task, "spatial", ("mu_s", "sigma_s"), tell=tell)["fid"]}


def _frechet(
    task: Task, rows: str, given: tuple[str, str], *, tell: Any
) -> Mapping[str, Replicates]:
    """Return the distance to features, or to statistics where the reference is made of these."""
    generated = _rows(task, "generated", f"{rows}.npy")
    folders = task.inputs["reference"].folders
    options = {"confidence": task.params["confidence"], "engine": _engine(task), "report": tell}
    options["paired"] = task.params.get("paired", False)
    if (folders[0] / f"{given[0]}.npy").exists():
        mu, sigma = (np.load(folders[0] / f"{name}.npy", allow_pickle=False) for name in given)
        return moments_family(generated, Moments(2, mu, sigma), **options)
    reference = _rows(task, "reference", f"{rows}.npy")
    kept = kept_of(task.inputs["reference"], rows)
    if "moments" not in kept:
        checked = check_features(reference, "reference")
        kept["moments"] = gather(checked, engine=options["engine"])
    return moments_family(generated, reference, reference_moments=kept["moments"], **options)


def _infinity(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    options = {name: task.params[name] for name in ("points", "seed", "confidence")}
    return infinity_family(_rows(task, "generated"), _rows(task, "reference"), **options)


def _vendi(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    return vendi_family(_rows(task, "generated"), confidence=task.params["confidence"])


def _memorization(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    sides = [_rows(task, role) for role in ("generated", "train", "reference")]
    options = {"confidence": task.params["confidence"], "engine": _engine(task)}
    return memorization_family(*sides, **options)


def _neighbours(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    generated, reference = _rows(task, "generated"), _rows(task, "reference")
    params, wide = task.params, task.params["k_density"]
    return neighbours_family(
        generated,
        reference,
        k=params["k"],
        rule=params["rule"],
        density_k=wide if wide < min(len(generated), len(reference)) else None,
        subsets=params["kid_subsets"],
        subset_size=params["kid_subset_size"],
        confidence=params["confidence"],
        engine=_engine(task),
        kept=kept_of(task.inputs["reference"], "features"),
        report=tell,
    )


def _logits(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    return logits_family(
        _rows(task, "generated", "logits.npy"),
        splits=task.params["splits"],
        shuffle_seed=task.params["shuffle_seed"],
        confidence=task.params["confidence"],
        report=tell,
    )


def _pairs(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    return _means(task, {"psnr": psnr, "ssim": ssim}, tell=tell)


def _lpips(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    return _means(task, {"lpips": load_lpips(task.params["lpips"], device=task.device)}, tell=tell)


def _means(task: Task, measures: Mapping[str, Any], *, tell: Any) -> Mapping[str, Replicates]:
    """Return the mean of each measure over pairs of images, few of which are in memory at once."""
    sides = [rows_of(task.inputs[role], "images.npy") for role in ("generated", "reference")]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    count = max(map(len, sides))
    for start in range(0, count, PAIRS):
        a, b = (side.read(np.arange(start, min(start + PAIRS, count))) for side in sides)
        for name, measure in measures.items():
            parts[name].append(measure(a, b))
        tell(min(1.0, (start + PAIRS) / count))
    confidence = task.params["confidence"]
    return {n: mean_over_samples(np.concatenate(each), confidence) for n, each in parts.items()}


def _clip(task: Task, *, tell: Any) -> Mapping[str, Replicates]:
    images, texts = _rows(task, "generated"), _rows(task, "generated", "text.npy")
    return clip_family(images, texts, confidence=task.params["confidence"], report=tell)


_FAMILIES = {
    "own": own_scores,
    "moments": _moments,
    "spatial": _spatial,
    "infinity": _infinity,
    "vendi": _vendi,
    "memorization": _memorization,
    "neighbours": _neighbours,
    "logits": _logits,
    "pairs": _pairs,
    "lpips": _lpips,
    "clip": _clip,
}
