"""dataset: a source and a split -> images, captions, class labels, boxes and masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.data.batch import Ints
from ldmbench.data.captions import captions
from ldmbench.data.conditions import class_labels, with_captions, write_conditions
from ldmbench.data.images import read_images
from ldmbench.data.scenes import scene
from ldmbench.data.shapes import CLASSES, render, split_indices
from ldmbench.data.shards import write_batch
from ldmbench.schema.data import DatasetParams
from ldmbench.schema.task import Task
from ldmbench.sources.images.listing import LOSSY
from ldmbench.sources.images.planned import planned_images
from ldmbench.sources.images.source import ImageFile, Source, classes_of
from ldmbench.sources.images.splits import shard_images
from ldmbench.sources.kinds import open_source
from ldmbench.stages.common import Report
from ldmbench.stages.plugin import own_images


def run(task: Task, report: Report) -> None:
    """Write one shard of a dataset; `prompts` are conditions alone, repeated without end."""
    params = DatasetParams.model_validate(task.params)
    assert task.shard is not None
    make = {"shapes": _shapes, "call": _own}.get(str(params.source["kind"]), _files)
    make(task, params, task.shard)
    report(1.0, "")


def _shapes(task: Task, params: DatasetParams, shard: tuple[int, int]) -> None:
    source = params.source
    _write_facts(task.output, classes=len(CLASSES))
    seed = int(source["seed"] or 0)
    objects = (1, int(source["objects"] or 1))
    if params.split == "prompts":
        scenes = scene(split_indices("validation", *shard), seed=seed, objects=objects)
        labels = _labels(scenes.label, task, params, count=len(CLASSES))
        write_conditions(task.output, captions(scenes), labels)
        return
    split = "validation" if params.split == "truth" else params.split
    how: dict[str, Any] = {name: source[name] for name in ("resolution", "texture")}
    indices = split_indices(split, *shard)
    write_batch(task.output, render(indices, seed=seed, objects=objects, **how))


def _files(task: Task, params: DatasetParams, shard: tuple[int, int]) -> None:
    source, cache = params.source, task.local.get("digests")
    place = open_source(str(source["kind"]), Path(task.local["path"]), source)
    planned = planned_images(place, str(source["digest"]), cache and Path(cache))
    how: dict[str, Any] = {name: int(source[name] or 0) for name in ("reference", "validation")}
    how["mixed"] = source.get("order") == "digest"
    chosen = shard_images(planned.files, params.split, shard, **how)
    planned.check(chosen)
    _write_images(task, params, place, chosen, classes=classes_of(planned.files))
    planned.check(chosen)


def _write_images(
    task: Task, params: DatasetParams, place: Source, files: Sequence[ImageFile], *, classes: int
) -> None:
    lossy = sum(file.name.lower().endswith(LOSSY) for file in files)
    _write_facts(task.output, classes=classes, lossy=lossy)
    if params.split == "prompts":
        texts = place.captions(files) or ("",) * len(files)
        labels = _labels(np.array([f.label for f in files]), task, params, count=classes)
        write_conditions(task.output, texts, labels)
        return
    how: dict[str, Any] = {n: params.source[n] for n in ("resolution", "crop", "resize", "upscale")}
    files = with_captions(files, task.local.get("captions"))
    write_batch(task.output, read_images(place, files, **how))


def _own(task: Task, params: DatasetParams, shard: tuple[int, int]) -> None:
    batch = own_images(task, params, shard)
    classes = int(params.source["classes"] or batch.labels.max(initial=0) + 1)
    _write_facts(task.output, classes=classes)
    if params.split == "prompts":
        labels = _labels(batch.labels, task, params, count=classes)
        write_conditions(task.output, batch.captions, labels)
    else:
        write_batch(task.output, batch)


def _labels(own: Ints, task: Task, params: DatasetParams, *, count: int) -> Ints:
    how, shard = {"count": count, "seed": params.seed}, task.shard or (0, 0)
    return class_labels(params.classes, *shard, **how) if params.classes else own


def _write_facts(folder: Path, *, classes: int, lossy: int = 0) -> None:
    facts = {"classes": classes, **({"lossy": lossy} if lossy else {})}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
