"""dataset: a source and a split -> images, captions, class labels, boxes and masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ldmbench.data.batch import Ints
from ldmbench.data.captions import captions
from ldmbench.data.conditions import class_labels, with_captions, write_conditions
from ldmbench.data.images import read_images
from ldmbench.data.scenes import scene
from ldmbench.data.shapes import CLASSES, render, split_indices
from ldmbench.data.shards import write_batch
from ldmbench.data.windows import centre_of
from ldmbench.schema.params import CallSource, DatasetParams, FilesSource, ShapesSource
from ldmbench.schema.task import Task
from ldmbench.sources.images.listing import LOSSY
from ldmbench.sources.images.planned import Planned, planned_images
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.images.splits import shard_images
from ldmbench.sources.kinds import open_source
from ldmbench.stages.common import Report
from ldmbench.stages.plugin import own_images

Data: TypeAlias = Task[DatasetParams]


def run(task: Data, report: Report) -> None:
    """Write one shard of a dataset; `prompts` are conditions alone, repeated without end."""
    assert task.shard is not None
    match task.params.source:
        case ShapesSource() as source:
            _shapes(task, source, task.shard)
        case CallSource() as source:
            _own(task, source, task.shard)
        case FilesSource() as source:
            _files(task, source, task.shard)
    report(1.0, "")


def _shapes(task: Data, source: ShapesSource, shard: tuple[int, int]) -> None:
    _write_facts(task.output, classes=len(CLASSES))
    objects, split = (1, source.objects), task.params.split
    if split == "prompts":
        scenes = scene(split_indices("validation", *shard), seed=source.seed, objects=objects)
        labels = _labels(scenes.label, task, shard, count=len(CLASSES))
        write_conditions(task.output, captions(scenes), labels)
        return
    indices = split_indices("validation" if split == "truth" else split, *shard)
    batch = render(
        indices,
        seed=source.seed,
        objects=objects,
        resolution=source.resolution,
        texture=source.texture,
    )
    write_batch(task.output, centre_of(batch, task.params.window))


def _files(task: Data, source: FilesSource, shard: tuple[int, int]) -> None:
    assert task.local.path is not None
    digests, split = task.local.digests, task.params.split
    assert split != "file"
    place = open_source(source.kind, Path(task.local.path), source.own)
    planned = planned_images(place, source.digest, Path(digests) if digests else None)
    chosen = shard_images(
        planned.files,
        split,
        shard,
        reference=source.reference,
        validation=source.validation,
        mixed=source.order == "digest",
    )
    planned.check(chosen)
    _write_images(task, source, planned, chosen, shard)
    planned.check(chosen)


def _write_images(
    task: Data,
    source: FilesSource,
    planned: Planned,
    files: Sequence[ImageFile],
    shard: tuple[int, int],
) -> None:
    place, classes = planned.source, planned.classes
    lossy = sum(file.name.lower().endswith(LOSSY) for file in files)
    _write_facts(task.output, classes=classes, lossy=lossy)
    if task.params.split == "prompts":
        texts = place.captions(files) or ("",) * len(files)
        labels = _labels(np.array([f.label for f in files]), task, shard, count=classes)
        write_conditions(task.output, texts, labels)
        return
    batch = read_images(
        place,
        with_captions(files, task.local.captions),
        resolution=source.resolution,
        crop=source.crop,
        resize=source.resize,
        upscale=bool(source.upscale),
        shown=planned.shown,
    )
    write_batch(task.output, centre_of(batch, task.params.window))


def _own(task: Data, source: CallSource, shard: tuple[int, int]) -> None:
    batch = own_images(task, source, shard)
    classes = int(source.classes or batch.labels.max(initial=0) + 1)
    _write_facts(task.output, classes=classes)
    if task.params.split == "prompts":
        labels = _labels(batch.labels, task, shard, count=classes)
        write_conditions(task.output, batch.captions, labels)
    else:
        write_batch(task.output, centre_of(batch, task.params.window))


def _labels(own: Ints, task: Data, shard: tuple[int, int], *, count: int) -> Ints:
    classes, seed = task.params.classes, task.params.seed
    return class_labels(classes, *shard, count=count, seed=seed) if classes else own


def _write_facts(folder: Path, *, classes: int, lossy: int = 0) -> None:
    facts = {"classes": classes, **({"lossy": lossy} if lossy else {})}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
