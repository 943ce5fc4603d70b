"""dataset: a source and a split -> images, captions, class labels, boxes and masks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ldmbench.data.batch import Batch
from ldmbench.data.captions import captions
from ldmbench.data.images import list_images, read_captions, read_images, split_images
from ldmbench.data.scenes import scene
from ldmbench.data.shapes import CLASSES, Texture, render, split_indices
from ldmbench.data.shards import write_array, write_batch
from ldmbench.schema.data import DatasetParams
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report


def run(task: Task, report: Report) -> None:
    """Write one shard of a dataset; `prompts` are conditions alone, repeated without end."""
    params = DatasetParams.model_validate(task.params)
    assert task.shard is not None
    if params.source["kind"] == "shapes":
        _shapes(task, params, task.shard)
    else:
        _folder(task, params, task.shard)
    report(1.0, "")


def _shapes(task: Task, params: DatasetParams, shard: tuple[int, int]) -> None:
    source = params.source
    _write_facts(task.output, classes=len(CLASSES))
    seed = int(source["seed"] or 0)
    objects = (1, int(source["objects"] or 1))
    if params.split == "prompts":
        scenes = scene(split_indices("validation", *shard), seed=seed, objects=objects)
        _write_conditions(task.output, captions(scenes), scenes.label)
        return
    indices = split_indices(params.split, *shard)
    texture: Texture = "fine" if source["texture"] == "fine" else "plain"
    resolution = int(source["resolution"] or 0)
    batch = render(indices, resolution=resolution, seed=seed, texture=texture, objects=objects)
    write_batch(task.output, batch)


def _folder(task: Task, params: DatasetParams, shard: tuple[int, int]) -> None:
    source = params.source
    files = list_images(Path(task.local["path"]))
    split = "validation" if params.split == "prompts" else params.split
    reference, validation = int(source["reference"] or 0), int(source["validation"] or 0)
    names = split_images(files, split, reference=reference, validation=validation)
    _write_facts(task.output, classes=max((f.label for f in files), default=0) + 1)
    if params.split == "prompts":
        chosen = [names[i % len(names)] for i in range(*shard)]
        texts = read_captions(chosen) or ("",) * len(chosen)
        _write_conditions(task.output, texts, np.array([f.label for f in chosen], np.int64))
        return
    write_batch(task.output, _read(names[slice(*shard)], source))


def _read(files: Sequence[object], source: Mapping[str, object]) -> Batch:
    return read_images(
        files,  # type: ignore[arg-type]
        resolution=int(str(source["resolution"])),
        crop=str(source["crop"]),
        resize=str(source["resize"]),
        upscale=bool(source["upscale"]),
    )


def _write_conditions(folder: Path, texts: Sequence[str], labels: np.ndarray) -> None:
    write_array(folder / "labels.npy", labels.astype(np.int64))
    (folder / "captions.json").write_text(json.dumps(list(texts), ensure_ascii=False), "utf-8")


def _write_facts(folder: Path, *, classes: int) -> None:
    (folder / "facts.json").write_text(json.dumps({"classes": classes}))
