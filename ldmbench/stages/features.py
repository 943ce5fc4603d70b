"""features: images -> what an evaluator sees in them."""

from __future__ import annotations

import numpy as np

from ldmbench.data.shards import write_array
from ldmbench.features.extractor import Extractor, load_extractor
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, images_of, resident
from ldmbench.stages.own import own_features


def run(task: Task, report: Report) -> None:
    """Extract the features of one shard; an extractor of texts also those of its captions.

    Spatial features, as wide as the others, are kept only where sFID asks for them.
    """
    params = task.params
    if "call" in task.local:
        own_features(task, images_of(task))
        return
    expected = int(task.local.get("expected", 0))
    extractor = _extractor(params["extractor"], task.device, params["precision"], expected)
    images = images_of(task)
    everything = np.arange(len(images))
    found = extractor.extract(images.images(everything))
    for name, array in found.items():
        if name != "spatial" or params.get("spatial"):
            write_array(task.output / f"{name}.npy", array)
    if extractor.spec.text:
        captions = extractor.extract_text(images.captions(everything))
        write_array(task.output / "text.npy", captions)
    report(1.0, "")


@resident(4)
def _extractor(name: str, device: str, precision: str, expected: int) -> Extractor:
    """Load an extractor once a worker; how many images a plan has for it decides on compiling."""
    return load_extractor(
        name,
        device=device,
        precision=precision,  # type: ignore[arg-type]
        expected=expected,
    )
