"""features: images -> what an evaluator sees in them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from ldmbench.data.shards import write_array
from ldmbench.errors import InputError
from ldmbench.features.extractor import Extractor, Features, load_extractor
from ldmbench.schema.params import FeaturesParams, Precision
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, images_of, pixels_of, resident
from ldmbench.stages.own import own_features


def run(task: Task[FeaturesParams], report: Report) -> None:
    """Extract the features of shards; an extractor of texts also those of their captions.

    Of images larger than those of training, one patch each is seen (data/windows.py). Spatial
    features, as wide as the others, are kept only where sFID asks for them.
    """
    params = task.params
    if task.local.call:
        for shard in task.shards:
            own_features(shard, images_of(shard), params.patches)
        return
    expected = task.local.expected
    extractor = _extractor(params.extractor, task.device, params.precision, expected)
    if extractor.digest != params.weights:
        raise InputError(
            f"the weights of {params.extractor} here are {extractor.digest[:8]}, and"
            f" {params.weights[:8]} were planned; import the same file on every machine, plan again"
        )
    read = [(shard, images_of(shard)) for shard in task.shards]
    pixels = [(shard, pixels_of(shard, images, params.patches)) for shard, images in read]
    for _, alike in groupby(pixels, key=lambda pair: pair[1].shape[1:]):
        shards, parts = zip(*alike)
        found = extractor.extract(np.concatenate(parts))
        if not params.spatial:
            found.pop("spatial", None)
        _write(shards, found, [len(part) for part in parts])
    if extractor.spec.text:
        captions = [images.captions(np.arange(len(images))) for _, images in read]
        text = extractor.extract_text([caption for part in captions for caption in part])
        _write(task.shards, {"text": text}, [len(part) for part in captions])
    report(1.0, "")


def _write(shards: Sequence[Task], found: Features, counts: Sequence[int]) -> None:
    """Write each shard's rows of what was extracted for all of them."""
    for name, rows in found.items():
        for shard, part in zip(shards, np.split(rows, np.cumsum(counts)[:-1]), strict=True):
            write_array(shard.output / f"{name}.npy", part)


@resident(4)
def _extractor(name: str, device: str, precision: Precision, expected: int) -> Extractor:
    """Load an extractor once a worker; how many images a plan has for it decides on compiling."""
    return load_extractor(name, device=device, precision=precision, expected=expected)
