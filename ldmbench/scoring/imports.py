"""What a person gives, brought into the store: features of a file, captions beside images."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ldmbench.canonical import digest, digest_file
from ldmbench.errors import InputError
from ldmbench.plan.score import FeatureSource, ImageSource
from ldmbench.schema.params import FileFeatures, FilesSource
from ldmbench.schema.stage import Manifest, Stage
from ldmbench.scoring.npz import STATISTICS, Array, read_array
from ldmbench.scoring.sides import Side
from ldmbench.sources.images.rows import read_prompts
from ldmbench.sources.kinds import kind_at, open_source
from ldmbench.store.artifact import outputs_digest, outputs_of
from ldmbench.store.disk import Address, Store
from ldmbench.store.machine import code_digest, machine, versions


def put_features(side: Side, stages: Mapping[str, Stage], store: Store) -> None:
    """Commit the features and statistics of a file as the artefacts that stages name."""
    source = side.source if isinstance(side.source, FeatureSource) else None
    path = Path(side.name)
    for stage in stages.values():
        if not isinstance(stage.params, FileFeatures):
            continue
        file = stage.params.file
        if source and file == source.digest:
            arrays = ((name, read_array(path, name)[: source.count]) for name in source.arrays)
            _put(arrays, stage, file, store)
        elif side.moments and stage.params.statistics and file == digest_file(path):
            _put(_statistics(side), stage, file, store)


def _statistics(side: Side) -> Iterator[tuple[str, Array]]:
    for metric, pair in side.moments.items():
        yield from zip(STATISTICS[metric], pair, strict=True)


def _put(arrays: Iterable[tuple[str, Array]], stage: Stage, file: str, store: Store) -> None:
    """Commit arrays of a file as one artefact, unless it is there; only then are they read."""
    address = Address("features", stage.key, (0, stage.count or 1))
    if store.lookup(address, verify=True):
        return
    temporary = store.temporary(address)
    try:
        for name, rows in arrays:
            dtype = np.float64 if rows.dtype.itemsize > 4 else np.float32
            np.save(temporary / f"{name}.npy", rows.astype(dtype))
        outputs = outputs_of(temporary)
        store.commit(
            temporary,
            Manifest(
                kind="features",
                key=stage.key,
                shard=address.shard,
                version=stage.version,
                params=stage.params.keyed(),
                inputs=stage.inputs,
                input_digests={"images": file},
                outputs=outputs,
                digest=outputs_digest(outputs),
                code=code_digest("features"),
                machine=machine(),
                versions=versions(),
                started=datetime.now(UTC).isoformat(),
                seconds=0.0,
            ),
        )
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def with_prompts(side: Side, prompts: Path, store: Store, *, count: int | None = None) -> Side:
    """Return the same images with the captions of a file; nothing is copied but the captions.

    Args:
        side: images of a folder, zip or npz.
        prompts: rows of {"file": NAME, "text": CAPTION}, or of {"text": CAPTION} in the order of
            the images; or a .txt with one caption a line, in that order.
        store: where the captions are kept for the stage that reads them.
        count: how many of the first images need one; all when unset.

    Raises:
        InputError: if a line is malformed, an image has no caption or a caption no image, or lines
            without a file meet names that sort by text and by number differently.
    """
    if not isinstance(side.source, ImageSource) or not side.images:
        raise InputError(f"{side.name}: --prompts needs images of a folder, zip or npz")
    table = _matched(read_prompts(prompts), list(side.images), prompts, count)
    meant = digest(table)
    file = store.scratch(Address("prompts", meant[:32])) / "captions.json"
    file.write_text(json.dumps(table), encoding="utf-8")
    assert isinstance(side.source.source, FilesSource)
    source = replace(
        side.source,
        source=side.source.source.model_copy(update={"captions": meant}),
        local=side.source.local.model_copy(update={"captions": str(file.resolve())}),
    )
    return replace(side, source=source, captions=len(table))


def check_captions(side: Side, *, needed: bool) -> None:
    """Refuse captions beside images that cannot be read; where they are needed, empty ones too.

    Args:
        side: images of a folder or zip; nothing else has captions beside it.
        needed: whether each image must have one.

    Raises:
        InputError: naming the file that is not UTF-8, or the first image without a caption.
    """
    count = len(side.images)
    if needed and side.captions < count:
        raise InputError(
            f"{side.name}: {side.captions} of {count} images have a caption; put each into a .txt"
            " file next to its image, or use --prompts FILE"
        )
    if not side.captions:
        return
    blank = [name for name, text in zip(side.images, captions_of(side)) if not text]
    if needed and blank:
        raise InputError(
            f"{side.name}/{blank[0]}: the caption is empty ({len(blank)} of {count} are); write"
            " it into its .txt file, or use --prompts FILE"
        )


def captions_of(side: Side) -> tuple[str, ...]:
    """Return the captions of images that have some, those of a file of prompts before their own.

    Raises:
        InputError: a caption beside an image is not UTF-8.
    """
    if isinstance(side.source, ImageSource) and side.source.local.captions:
        found = json.loads(Path(side.source.local.captions).read_text("utf-8"))
        return tuple(found[name] for name in side.images)
    path = Path(side.name)
    source = open_source(kind_at(path), path, {})
    found = source.captions(source.listing().files) or ()
    return found[: len(side.images)]


def _matched(
    rows: Sequence[tuple[str | None, str]],
    images: Sequence[str],
    prompts: Path,
    count: int | None = None,
) -> dict[str, str]:
    """Return image -> caption: by name where lines have one, else by order.

    Of the images the first `count` need one; all when unset.
    """
    if all(name is None for name, _ in rows):
        if len(rows) not in (len(images), count):
            raise InputError(
                f"{prompts}: {len(rows)} captions for {len(images)} images; lines without a file"
                " belong to the images in the order of their names"
            )
        _check_order(images, prompts)
        return {image: text for image, (_, text) in zip(images, rows, strict=False)}
    table = {_name(name, images): text for name, text in rows if name is not None}
    lost = [name for name in images[:count] if name not in table]
    extra = [name for name in table if name not in set(images)]
    if len(table) != len(rows):
        raise InputError(f"{prompts}: {len(rows) - len(table)} lines repeat a file or name none")
    if lost or extra:
        what = f"no caption for {', '.join(lost[:5])}" if lost else f"no image {extra[0]}"
        raise InputError(
            f"{prompts}: {what} ({len(lost)} images without a caption, {len(extra)} captions"
            " without an image); each image needs one line with its file and text"
        )
    return table


def _check_order(images: Sequence[str], prompts: Path) -> None:
    """Refuse names whose order is another where their numbers count: 10.png before 2.png."""
    for number, (plain, counted) in enumerate(zip(images, sorted(images, key=_counted)), start=1):
        if plain != counted:
            raise InputError(
                f"{prompts}: line {number} is of {plain} in the order of names, but of {counted} in"
                ' that of their numbers; give JSONL of {"file": NAME, "text": CAPTION}, or a .txt'
                " beside each image"
            )


def _counted(name: str) -> list[tuple[str, int, str]]:
    """Return a key that sorts as text does, but digits by the number that they write."""
    parts = re.findall("[0-9]+|[^0-9]", name)
    kept = [(part[0], part.lstrip("0")) for part in parts]
    return [("0" if "0" <= first <= "9" else first, len(rest), rest) for first, rest in kept]


def _name(name: str, images: Sequence[str]) -> str:
    """Return an image's name; those of an npz are numbers of rows."""
    padded = f"{int(name):08d}" if re.fullmatch("[0-9]{1,8}", name) else name
    return padded if name not in images and padded in images else name
