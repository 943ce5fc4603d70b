"""Contact sheets: the first samples of every cell, and real images, as PNG beside the records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from ldmbench.records.runs import write_text
from ldmbench.schema.record import Picture
from ldmbench.schema.stage import Plan, Stage
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of

COUNT, COLUMNS = 32, 8


def draw_pictures(plan: Plan, store: Store, folder: Path) -> list[Picture]:
    """Write a sheet per cell (samples 0..31, the same seeds everywhere) and per dataset.

    The sheet of a first stage alone shows its reconstructions of the first reference images.

    Args:
        plan: whose cells.
        store: where the samples are; cells without any are left out.
        folder: the run's folder; sheets go to its `pictures/`.
    """
    stages = plan.by_key()
    drawn: list[Picture] = []
    for dataset, stage in _references(plan, stages).items():
        drawn += _draw(stage, store, folder, title=f"real/{dataset}", dataset=dataset)
    for cell in plan.cells:
        stage = stages[cell.stages["samples" if cell.is_sampled else "reconstructions"]]
        drawn += _draw(stage, store, folder, title=cell.id, dataset=cell.dataset)
    return drawn


def _references(plan: Plan, stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """Return the reference images of each dataset."""
    found: dict[str, Stage] = {}
    for cell in plan.cells:
        for key in cell.stages.values():
            item = stages[key].inputs.get("reference")
            while item is not None and stages[item.key].kind != "dataset":
                item = stages[item.key].inputs.get("images")
            if item is not None:
                found.setdefault(cell.dataset, stages[item.key])
    return found


def _draw(stage: Stage, store: Store, folder: Path, *, title: str, dataset: str) -> list[Picture]:
    images, captions = _first(stage, store)
    if images is None:
        return []
    height, width = images.shape[1:3]
    side, rows = max(height, width), -(-len(images) // COLUMNS)
    sheet = np.full((rows * side, COLUMNS * side, 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // COLUMNS * side, i % COLUMNS * side
        sheet[y : y + height, x : x + width] = image
    name = f"pictures/{stage.kind}-{stage.key}.png"
    write_text(folder / name, lambda file: Image.fromarray(sheet).save(file, "PNG"))
    return [
        Picture(
            title=title,
            dataset=dataset,
            file=name,
            side=side,
            columns=COLUMNS,
            rows=rows,
            captions=captions,
        )
    ]


def _first(stage: Stage, store: Store) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the first images of a sharded stage and their captions."""
    address = units_of(stage, stop=1)[0].address
    path, captions_file = (store.file(address, name) for name in ("images.npy", "captions.json"))
    if path is None:
        return None, ()
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    captions = json.loads(captions_file.read_text("utf-8")) if captions_file else []
    count = min(COUNT, len(images), stage.count or COUNT)
    return np.array(images[:count]), tuple(captions[:count])
