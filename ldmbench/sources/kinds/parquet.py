"""The dataset kind `parquet`: tables with a column of encoded images, read by row group."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import DiskImages, Found, Payload
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.columns import (
    Asked,
    ClassNames,
    Columns,
    columns_of,
    image_in,
    name_of,
)
from ldmbench.sources.kinds.shards import Rows, Shard, library, shards_at
from ldmbench.words import first_line

__all__ = ["ParquetImages", "open_parquet"]

BATCH = 64
"""Rows whose images are in memory at once, of one row group."""
LISTED = 1024
"""Rows whose captions and classes are in memory at once, of one row group."""


def open_parquet(path: Path, options: Mapping[str, object]) -> ParquetImages:
    """Return the images of parquet files; the fields of ColumnsData are options."""
    return ParquetImages(path, Asked.of(options))


@dataclass(frozen=True)
class ParquetImages(DiskImages):
    """Images of parquet files, as Hugging Face's hub has them: bytes, or bytes and path.

    Attributes:
        path: a file, or a folder of them; train-00000-of-00006.parquet says its split.
        asked: the columns that a suite names.
    """

    asked: Asked

    def find(self) -> Found:
        """Read all columns but the bytes of images."""
        shards, folders = shards_at(self.path, (".parquet",), "parquet files, or a folder of them")
        rows, remarks = Rows(self.path, shards=shards), dict[str, None]()
        names = ClassNames()
        for shard in shards:
            with _reading(shard.file) as table:
                columns = _columns(shard.file, table, self.asked)
                names.add(shard.file, _class_names(table, columns.label))
                rows.column = columns.label or rows.column
                self._add(rows, shard, table, columns)
                remarks |= dict.fromkeys(columns.remarks)
        names.refuse_beyond(rows.labels)
        return rows.found([shard.file for shard in shards], folders, list(remarks))

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the bytes of each image; of those asked for at once each row group is read once."""
        places = self.found().places
        for batch in _batches(files):
            wanted: dict[Path, dict[int, dict[int, int]]] = {}
            for i, file in enumerate(batch):
                table, group, row = places[file.name]
                wanted.setdefault(table, {}).setdefault(group, {})[row] = i
            read: dict[int, Payload] = {}
            for table, groups in wanted.items():
                for i, value in self._rows(table, groups):
                    read[i] = image_in(value, batch[i].where)
            yield from (read[i] for i in range(len(batch)))

    def _add(self, rows: Rows, shard: Shard, table: Any, columns: Columns) -> None:
        nested = _is_nested(table, columns.image)
        wanted = [*columns.read_columns, *([f"{columns.image}.path"] if nested else [])]
        first = 0
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            for row, held in enumerate(_values(table, group, wanted, count)):
                image = held[columns.image] if nested else None
                rows.add(
                    name_of(shard.name, first + row, image.get("path") if image else None),
                    (shard.file, group, row),
                    shard.split,
                    label=held[columns.label] if columns.label else None,
                    caption=held[columns.caption] if columns.caption else None,
                )
            first += count

    def _rows(
        self, file: Path, groups: Mapping[int, Mapping[int, int]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield number and image of the rows of some groups; BATCH rows are in memory at once."""
        with _reading(file) as table:
            image = _columns(file, table, self.asked).image
            for group, numbers in sorted(groups.items()):
                first = 0
                for batch in table.iter_batches(BATCH, row_groups=[group], columns=[image]):
                    column = batch.column(0)
                    for row in range(first, first + len(batch)):
                        if row in numbers:
                            yield numbers[row], column[row - first].as_py()
                    first += len(batch)


def _values(
    table: Any, group: int, wanted: Sequence[str], count: int
) -> Iterator[Mapping[str, Any]]:
    """Yield the values of some columns of each row of a group; LISTED rows are in memory."""
    if not wanted:
        yield from ({} for _ in range(count))
        return
    for batch in table.iter_batches(LISTED, row_groups=[group], columns=wanted):
        yield from batch.to_pylist()


def _columns(file: Path, table: Any, asked: Asked) -> Columns:
    import pyarrow as pa

    schema = table.schema_arrow
    pictures = [
        field.name
        for field in schema
        if pa.types.is_binary(field.type)
        or pa.types.is_large_binary(field.type)
        or (pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
    ]
    return columns_of(file, schema.names, pictures, asked)


def _class_names(table: Any, label: str | None) -> list[str] | None:
    """Return the names of a ClassLabel that Hugging Face's metadata say, or None."""
    said = (table.schema_arrow.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(said)["info"]["features"][label]["names"] if said and label else None
    except (ValueError, KeyError, TypeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def _is_nested(table: Any, image: str) -> bool:
    import pyarrow as pa

    kind = table.schema_arrow.field(image).type
    return bool(pa.types.is_struct(kind) and kind.get_field_index("path") >= 0)


def _batches(files: Sequence[ImageFile], most: int = 512) -> Iterator[Sequence[ImageFile]]:
    for start in range(0, len(files), most):
        yield files[start : start + most]


@contextmanager
def _reading(file: Path) -> Iterator[Any]:
    with library("pyarrow", f"{file}: a parquet file"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        with pq.ParquetFile(file, memory_map=True) as table:
            yield table
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{file}: not a readable parquet file ({first_line(error)}); fetch or write it again"
        ) from None
