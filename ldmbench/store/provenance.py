"""Origins: what stands below the inputs of scores, in digests that outlive it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from ldmbench.canonical import digest
from ldmbench.schema.params import FileFeatures, ScoresParams
from ldmbench.schema.stage import Manifest, Stage
from ldmbench.store.disk import Store
from ldmbench.store.units import Unit, inputs_digest, inputs_of, units_of

CAPTIONS = "captions.json"


def origins(stage: Stage, stages: Mapping[str, Stage], store: Store) -> dict[str, str]:
    """Return what the manifest of scores keeps, since datasets and features may be deleted.

    Args:
        stage: any stage; one that is no scores keeps nothing.
        stages: every stage of the plan, by key.
        store: where its inputs lie.

    Returns:
        ROLE/images and ROLE/captions -> digest, where it is known.
    """
    if stage.kind != "scores":
        return {}
    found: dict[str, str | None] = {}
    for role in ("reference", "train", "validation"):
        item = stage.inputs.get(role)
        if item and not is_named(stages[item.key]):
            found[f"{role}/images"] = images_digest(stages[item.key], stages, store, item.count)
    if isinstance(stage.params, ScoresParams) and stage.params.family == "clip":
        item = stage.inputs["generated"]
        found["generated/captions"] = captions_digest(
            stages[item.key], stages, store, item.count or 0
        )
    return {name: value for name, value in found.items() if value}


def is_named(images: Stage) -> bool:
    """Tell whether images are named in signatures by the file that features of them are in."""
    return isinstance(images.params, FileFeatures) and bool(images.params.ref)


def images_digest(
    stage: Stage, stages: Mapping[str, Stage], store: Store, count: int | None = None
) -> str | None:
    """Return a digest of real images, or None where a part of them is not known.

    Args:
        stage: their dataset stage, or the features of them.
        stages: every stage of the plan, by key.
        store: where their digests are read.
        count: how many of them are used, from the first; None: all that are planned.
    """

    @cache
    def look(unit: Unit) -> Manifest | None:
        return store.lookup(unit.address)

    parts: set[str] = set()
    for unit in units_of(stage, stop=count):
        manifest = look(unit)
        if stage.kind == "dataset":
            found = [manifest.digest if manifest else None]
        else:
            found = [
                manifest.input_digests.get(role) if manifest else inputs_digest(below, look)
                for role, _, below in inputs_of(unit, stages)
            ]
        for part in found:
            if not part:
                return None
            parts.add(part)
    return digest(sorted(parts)) if parts else None


def captions_digest(
    stage: Stage, stages: Mapping[str, Stage], store: Store, count: int
) -> str | None:
    """Return a digest of the first captions of images, or None where one of them is not known.

    Args:
        stage: the images, or the features of them.
        stages: every stage of the plan, by key.
        store: where they lie.
        count: how many of them are used.
    """
    while stage.kind == "features":
        stage = stages[stage.inputs["images"].key]
    texts: list[str] = []
    for unit in units_of(stage, stop=count):
        file = store.file(unit.address, CAPTIONS)
        if file is None:
            return None
        texts += json.loads(file.read_text("utf-8"))
    return digest(texts[:count]) if len(texts) >= count else None
