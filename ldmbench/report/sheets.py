"""Sheets: the contact sheets of a run, read from its folder and made small enough for one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ldmbench.report.cells import series, variant, varying
from ldmbench.schema.record import Picture, Record

__all__ = ["Sheet", "Sheets", "read_sheets"]

SEEDS = (
    "Every column is one seed: the same noise and the same condition for every model that samples."
    " Real images, those of the reference, come first; they need not have the condition of their"
    " column."
)
ORIGINALS = (
    "Every column is one image: the original first, then its reconstruction by each first stage."
)
BOTH = f"{SEEDS} A first stage alone shows its reconstructions of these real images."

BUDGET = 6_000_000
"""Bytes of pictures in a page, before base64 adds a third; a page stays below 15 MB."""


@dataclass(frozen=True)
class Sheet:
    """One contact sheet as the page shows it; `cell` is '' for real images."""

    cell: str
    series: str
    line: str
    dataset: str
    steps: int | None
    side: int
    columns: int
    rows: int
    captions: tuple[str, ...]
    uri: str


@dataclass(frozen=True)
class Sheets:
    """All sheets, what a column of them is, and what is missing or was made smaller."""

    sheets: tuple[Sheet, ...]
    legend: str
    remarks: tuple[str, ...]


def read_sheets(pictures: Sequence[Picture], records: Sequence[Record], *, folder: Path) -> Sheets:
    """Read every picture that lies inside `folder` as a data URI; others become a remark."""
    by_id = {record.cell.id: record for record in records}
    vary = varying(records, always=())
    share = BUDGET // max(1, len(pictures))
    sheets: list[Sheet] = []
    missing: list[str] = []
    smaller = 0
    for picture in pictures:
        path = _inside(folder, picture.file)
        if path is None:
            missing.append(picture.title)
            continue
        kind, data, rows = _shrunk(path, picture, share)
        smaller += kind != "png"
        sheets.append(_sheet(picture, by_id, vary, rows=rows, uri=_uri(kind, data)))
    kinds = {by_id[sheet.cell].cell.is_sampled for sheet in sheets if sheet.cell in by_id}
    legend = BOTH if len(kinds) > 1 else ORIGINALS if False in kinds else SEEDS
    return Sheets(tuple(sheets), legend, tuple(_remarks(missing, smaller)))


def _inside(folder: Path, file: str) -> Path | None:
    root = folder.resolve()
    path = (root / file).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


def _sheet(
    picture: Picture, by_id: Mapping[str, Record], vary: Sequence[str], *, rows: int, uri: str
) -> Sheet:
    record = by_id.get(picture.title)
    real = picture.title.startswith("real/")
    return Sheet(
        cell="" if real else picture.title,
        series="Real images" if real else series(record.cell) if record else picture.title,
        line="Real images" if real else variant(record.cell, vary) if record else picture.title,
        dataset=picture.dataset,
        steps=record.cell.steps if record else None,
        side=picture.side,
        columns=picture.columns,
        rows=rows,
        captions=picture.captions,
        uri=uri,
    )


def _shrunk(path: Path, picture: Picture, share: int) -> tuple[str, bytes, int]:
    """Return kind, bytes and rows of images: as it is, else as WebP, else fewer rows of it."""
    data = path.read_bytes()
    if len(data) <= share:
        return "png", data, picture.rows
    from PIL import Image

    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    rows = picture.rows
    while True:
        part = image.crop((0, 0, image.width, rows * image.height // picture.rows))
        small = io.BytesIO()
        part.save(small, "WEBP", quality=90, method=2)
        if small.tell() <= share or rows == 1:
            return "webp", small.getvalue(), rows
        rows = max(1, min(rows - 1, int(rows * share / small.tell())))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _remarks(missing: Sequence[str], smaller: int) -> list[str]:
    found = []
    if missing:
        found.append(
            f"{len(missing)} pictures are not in the run's folder: {', '.join(missing[:5])}"
            + (" and others." if len(missing) > 5 else ".")
        )
    if smaller:
        found.append(
            f"{smaller} sheets were recompressed (WebP, quality 90) or shortened to keep this "
            "page small; the untouched PNG files are in the run's folder."
        )
    return found
