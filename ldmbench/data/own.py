"""Images that a user's own code makes, with checks of their form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ldmbench.data.batch import Batch, Ints
from ldmbench.errors import InputError
from ldmbench.plugins import calling
from ldmbench.registry import nearest

__all__ = ["own_batch"]

_DTYPES = {"labels": np.int64, "boxes": np.float32, "box_labels": np.int64, "masks": np.uint8}
_PARTS = ("images", "captions", *_DTYPES)


def own_batch(
    maker: object,
    indices: Ints,
    *,
    split: str,
    resolution: int,
    title: str,
    classes: int | None = None,
) -> Batch:
    """Ask a user's own dataset for some images.

    Args:
        maker: a function, or an object with the method `batch`: (indices, *, split, resolution) ->
            uint8 NHWC, or a mapping with `images` and any of captions, labels, boxes, box_labels,
            masks, as Batch has them.
        indices: which, int64, from 0 in each split.
        split: train, validation or reference.
        resolution: side of the images.
        title: what errors call it.
        classes: how many there are, where the suite says so.

    Raises:
        InputError: it failed, or returned something else.
    """
    call = getattr(maker, "batch", maker)
    if not callable(call):
        raise InputError(f"{title} is no function and has no method `batch`; see extending.md")
    made = calling(f"{title} failed", lambda: call(indices, split=split, resolution=resolution))
    parts = dict(made) if isinstance(made, Mapping) else {"images": made}
    unknown = sorted(set(parts) - set(_PARTS))
    if unknown or "images" not in parts:
        hint = nearest(str(unknown[0]), _PARTS) if unknown else ""
        found = ", ".join(map(str, parts)) or "nothing"
        raise InputError(f"{title} returned {found}{hint}; allowed: {', '.join(_PARTS)}")
    batch = _batch(parts, len(indices), resolution, title)
    largest = int(batch.labels.max(initial=0))
    if classes is not None and largest >= classes:
        raise InputError(
            f"{title} returned label {largest} in split {split}; with classes: {classes} in the"
            f" suite labels lie in [0, {classes})"
        )
    return batch


def _batch(parts: Mapping[str, Any], count: int, side: int, title: str) -> Batch:
    images, wanted = _array(parts["images"]), (count, side, side, 3)
    if images.shape != wanted or images.dtype != np.uint8:
        raise InputError(
            f"{title} returned images {images.shape} {images.dtype}; they must be {wanted} uint8,"
            " which is NHWC in 0..255"
        )
    arrays: dict[str, Any] = {}
    for name, dtype in _DTYPES.items():
        value = parts.get(name)
        found = None if value is None else _array(value)
        if found is not None and (found.dtype.kind not in "biuf" or not np.isfinite(found).all()):
            raise InputError(f"{title} returned {name} that are no finite numbers")
        arrays[name] = None if found is None else found.astype(dtype)
    captions = tuple(parts.get("captions") or ("",) * count)
    if not all(isinstance(text, str) for text in captions):
        raise InputError(f"{title} returned captions that are no texts")
    if arrays["labels"] is None:
        arrays["labels"] = np.zeros(count, np.int64)
    if arrays["labels"].shape != (count,) or arrays["labels"].min(initial=0) < 0:
        raise InputError(f"{title} returned labels that are not {count} numbers of 0 or more")
    try:
        return Batch(images=np.ascontiguousarray(images), captions=captions, **arrays)
    except InputError as error:
        raise InputError(f"{title}: {error}") from None


def _array(value: object) -> Any:
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return np.empty(0, object)
