"""Features and scores that a user's own code makes, with checks of their form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ldmbench.data.shards import ImageShards, write_array
from ldmbench.errors import InputError
from ldmbench.metrics.resample import Replicates, replicate
from ldmbench.plugins import calling
from ldmbench.schema.local import Code
from ldmbench.schema.params import Scores
from ldmbench.schema.task import Task
from ldmbench.stages.common import pixels_of, resident, rows_of
from ldmbench.stages.plugin import made_of


def own_features(task: Task, images: ImageShards, patches: str) -> None:
    """Write the features, and logits where there are any, of one shard; see `pixels_of`."""
    code = task.local.call
    assert code is not None
    title, count = code.target, len(images)
    extractor = _extractor(title, code.folder, code.digest, task.device)
    call = getattr(extractor, "extract", extractor)
    if not callable(call):
        raise InputError(f"{title} is no function and has no method `extract`; see extending.md")
    pixels = pixels_of(task, images, patches)
    made = calling(f"{title} failed", lambda: call(pixels))
    parts = dict(made) if isinstance(made, Mapping) else {"features": made}
    if "features" not in parts or set(parts) - {"features", "logits"}:
        raise InputError(
            f"{title} returned {', '.join(map(str, parts))}; allowed: features, logits"
        )
    for name, value in parts.items():
        rows = _numbers(value)
        if rows is None or rows.ndim != 2 or len(rows) != count or not np.isfinite(rows).all():
            found = type(value).__name__ if rows is None else f"{rows.shape} {rows.dtype}"
            raise InputError(
                f"{title} returned {name} {found}; they must be ({count}, D), finite numbers"
            )
        write_array(task.output / f"{name}.npy", rows.astype(np.float32))


@resident(2)
def _extractor(target: str, folder: str, digest: str, device: str) -> Any:
    found = made_of(Code(target=target, folder=folder, digest=digest), "extractors")
    if callable(getattr(found, "to", None)):
        calling(f"{target}.to failed", lambda: found.to(device))
    return found


def own_scores(task: Task[Scores], *, tell: Any) -> dict[str, Replicates]:
    """Return the score of a metric: one number, or one for each sample, whose mean it then is."""
    code, confidence = task.local.call, task.params.confidence
    assert code is not None
    metric = made_of(code, "metrics")
    title, count = code.target, task.inputs["generated"].stop
    given = _arguments(task, title)
    made = calling(f"{title} failed", lambda: metric(**given))
    value, name = _numbers(made), title.replace(":", ".")
    if value is None or value.shape not in ((), (count,)):
        found = type(made).__name__ if value is None else f"an array {value.shape}"
        raise InputError(f"{title} returned {found}; it must return one number, or {count}")
    tell(1.0)
    each = value.astype(np.float64)
    if each.shape:
        note = "mean over samples"
        return {name: replicate(float(each.mean()), each, confidence=confidence, note=note)}
    none = np.empty(0)
    why = "your own code gives one number, so there is no interval"
    return {name: Replicates(float(each), None, None, confidence, count, why, none)}


def _arguments(task: Task, title: str) -> dict[str, Any]:
    """Return what a metric's arguments name."""
    found: dict[str, Any] = {}
    for argument, (role, file) in task.local.reads.items():
        held = task.inputs[role]
        if not (held.folders[0] / file).exists():
            raise InputError(
                f"{title} asks for {argument}, which the extractor of the protocol has not"
            )
        found[argument] = rows_of(held, file).all()
    return found


def _numbers(value: Any) -> np.ndarray | None:
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return found if found.dtype.kind in "biuf" else None
