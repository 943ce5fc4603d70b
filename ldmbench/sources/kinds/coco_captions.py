"""Captions of MS-COCO by the rules of others: Karpathy's split, MLPerf's 30,000, a table."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ldmbench.errors import InputError
from ldmbench.seeds import derive_seed
from ldmbench.sources.images.rows import TEXTS, text_of
from ldmbench.sources.kinds.coco_json import Annotations

__all__ = [
    "KARPATHY_SPLITS",
    "MLPERF",
    "KarpathyImage",
    "id_in",
    "karpathy_images",
    "mlperf_captions",
    "one_of",
    "table_captions",
]

MLPERF = 30_000
"""Images of MLPerf's list."""
_SHUFFLED, _CAPTIONS = 2023, 202_654
"""The seed of MLPerf's shuffle, and how many captions it shuffles: those of val2014."""
KARPATHY_SPLITS: Mapping[str, Mapping[str, str]] = {
    "karpathy": {"train": "train", "restval": "train", "val": "validation", "test": "test"},
    "karpathy-test": {"train": "train", "restval": "train", "val": "test", "test": "validation"},
}
"""`split` of a suite -> split of dataset_coco.json -> split here; nothing uses `test`."""
_KARPATHY_COUNTS = {"train": 82_783, "restval": 30_504, "val": 5_000, "test": 5_000}
_KARPATHY_FILES = ("dataset_coco.json", "annotations/dataset_coco.json")


@dataclass(frozen=True)
class KarpathyImage:
    """An image of dataset_coco.json.

    Attributes:
        folder: train2014 or val2014.
        name: of its file.
        number: COCO's id.
        split: train, restval, val or test.
        captions: in the order of the file.
    """

    folder: str
    name: str
    number: int
    split: str
    captions: tuple[str, ...]


def karpathy_images(path: Path) -> tuple[Path, list[KarpathyImage], list[str]]:
    """Return Karpathy's file, its images, and remarks on their number.

    Args:
        path: of the data set.

    Raises:
        InputError: the file is not there, or is another.
    """
    file = next((path / name for name in _KARPATHY_FILES if (path / name).is_file()), None)
    if file is None:
        raise InputError(
            f"{path}: no dataset_coco.json in it or in annotations/, which Karpathy's split is read"
            " from; put it there, or write split: official"
        )
    try:
        found = json.loads(text_of(file.read_bytes(), str(file)))
        images = [
            KarpathyImage(
                str(row["filepath"]),
                str(row["filename"]),
                int(row["cocoid"]),
                str(row["split"]),
                tuple(" ".join(str(one["raw"]).split()) for one in row["sentences"]),
            )
            for row in found["images"]
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file}: not Karpathy's dataset_coco.json ({type(error).__name__}: {error}); fetch it"
            " again"
        ) from None
    counts = Counter(image.split for image in images)
    strange = sorted({*counts} - {*_KARPATHY_COUNTS})
    if strange:
        raise InputError(
            f"{file}: an image is of split {strange[0]}; allowed: {', '.join(_KARPATHY_COUNTS)}"
        )
    remarks = [
        f"dataset_coco.json has {counts[split]:,} images of {split}, and Karpathy's has {whole:,}"
        for split, whole in _KARPATHY_COUNTS.items()
        if counts[split] != whole
    ]
    return file, images, remarks


def one_of(texts: Sequence[str], number: int, rule: str) -> str | None:
    """Return the first of an image's captions, or one that is drawn by its id.

    Args:
        texts: its captions.
        number: its id.
        rule: first or drawn.
    """
    if not texts:
        return None
    return texts[derive_seed("coco caption", number) % len(texts) if rule == "drawn" else 0]


def mlperf_captions(found: Annotations) -> tuple[dict[str, str], list[str]]:
    """Return image -> caption as MLPerf's benchmark of Stable Diffusion draws them, with remarks.

    All captions in the order of the file are shuffled (pandas' `sample(frac=1,
    random_state=2023)`); the first of each image is kept, of these the first 30,000.

    Args:
        found: captions_val2014.json.

    Source:
        mlcommons/training at aa344c7, retired_benchmarks/stable_diffusion/scripts/datasets/
        coco-split-resize.py
    """
    order = np.random.RandomState(_SHUFFLED).permutation(len(found.every))
    chosen: dict[str, str] = {}
    for k in order:
        row = found.every[int(k)]
        name = found.images[int(row["image_id"])].name
        if name not in chosen:
            chosen[name] = str(row["caption"]).replace("\n", "").strip()
        if len(chosen) == MLPERF:
            break
    if len(found.every) == _CAPTIONS:
        return chosen, []
    return chosen, [
        f"{found.file.name} has {len(found.every):,} captions, and COCO's has {_CAPTIONS:,}: the"
        " rule mlperf chooses other images and captions than MLPerf's list has"
    ]


def table_captions(file: Path) -> dict[int, str]:
    """Return id of an image -> its caption, of a table with a row for each.

    Args:
        file: .csv, or .tsv with tabs; a column image_id or file_name, and one of a caption.

    Raises:
        InputError: it is not there, has no such columns, or has an image twice.
    """
    try:
        text = text_of(file.read_bytes(), str(file))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); put it there") from None
    mark = "\t" if file.suffix.lower() == ".tsv" else ","
    csv.field_size_limit(2**31 - 1)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)
    columns = tuple(reader.fieldnames or ())
    names = [name for name in ("image_id", "file_name") if name in columns]
    texts = [name for name in TEXTS if name in columns]
    if not names or len(texts) != 1:
        raise InputError(
            f"{file}: found columns {', '.join(columns) or 'none'}; needed: image_id or file_name,"
            f" and one of {', '.join(TEXTS)}"
        )
    found: dict[int, str] = {}
    for where, number, caption in _rows(reader, file, names[0], texts[0]):
        if number in found:
            raise InputError(f"{where}: image {number} is there twice; keep one caption of each")
        found[number] = caption
    return found


def _rows(
    reader: csv.DictReader[str], file: Path, name: str, text: str
) -> Iterator[tuple[str, int, str]]:
    """Yield place, id and caption of each row."""
    try:
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if row[name] is None or row[text] is None:
                raise InputError(f"{where}: no {name if row[name] is None else text} in this row")
            yield where, id_in(row[name], where), " ".join(row[text].split())
    except csv.Error as error:
        raise InputError(f"{file}:{reader.line_num}: not a row ({error})") from None


def id_in(text: str, where: str) -> int:
    """Return the id of an image: 139, 000000000139.jpg or COCO_val2014_000000000139.jpg."""
    try:
        return int(Path(text.strip()).stem.rpartition("_")[2])
    except ValueError:
        raise InputError(f"{where}: '{text}' is no id of an image of COCO, such as 139") from None
