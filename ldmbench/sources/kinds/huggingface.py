"""The dataset kind `huggingface`: what `datasets` wrote with save_to_disk, through the library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import DiskImages, Found, Payload
from ldmbench.sources.images.layout import split_of
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.columns import (
    Asked,
    ClassNames,
    Columns,
    columns_of,
    image_in,
    name_of,
)
from ldmbench.sources.kinds.shards import Rows, library
from ldmbench.words import first_line

__all__ = ["SavedImages", "open_huggingface"]

BATCH = 1000
"""Rows whose captions and classes are in memory at once."""
_ONE, _MANY = "dataset_info.json", "dataset_dict.json"


def open_huggingface(path: Path, options: Mapping[str, object]) -> SavedImages:
    """Return the images of a saved data set; the fields of ColumnsData are options."""
    return SavedImages(path, Asked.of(options))


@dataclass(frozen=True)
class SavedImages(DiskImages):
    """Images of a Dataset or DatasetDict on disk; orientation tags are not applied.

    Attributes:
        path: the folder that save_to_disk wrote.
        asked: the columns that a suite names.
    """

    asked: Asked

    def find(self) -> Found:
        """Read all columns but the bytes of images."""
        with library("datasets", f"{self.path}: a saved data set"):
            import datasets as _  # noqa: F401
        rows, read, remarks = Rows(self.path), list[Path](), dict[str, None]()
        classes = ClassNames()
        for name, folder in self._folders().items():
            columns = self._columns(folder)
            split = split_of(name)
            read += sorted(file for file in folder.iterdir() if file.is_file())
            remarks |= dict.fromkeys(columns.remarks)
            if name and not split:
                remarks[f"the split {name} is read as images outside of splits"] = None
            classes.add(folder, _class_names(folder, columns))
            rows.column = columns.label or rows.column
            self._add(rows, name, folder, split, columns)
        classes.refuse_beyond(rows.labels)
        return rows.found(read, (self.path,), list(remarks))

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the bytes of each image."""
        places = self.found().places
        tables: dict[Path, tuple[Any, str]] = {}
        for file in files:
            holder, row, _ = places[file.name]
            if holder not in tables:
                tables[holder] = self._pictures(holder.parent)
            table, image = tables[holder]
            try:
                found = table[row][image]
            except Exception as error:  # readers of foreign bytes raise nearly anything
                yield InputError(f"{file.where}: cannot be read ({first_line(error)}); save again")
                continue
            yield image_in(found, file.where)

    def _folders(self) -> dict[str, Path]:
        """Return split -> its folder; '' where there is one."""
        if (self.path / _MANY).is_file():
            folders = sorted(f for f in self.path.iterdir() if (f / _ONE).is_file())
            return {folder.name: folder for folder in folders}
        if (self.path / _ONE).is_file():
            return {"": self.path}
        raise InputError(
            f"{self.path}: neither {_ONE} nor {_MANY} in it; allowed: a folder that datasets'"
            " save_to_disk wrote"
        )

    def _columns(self, folder: Path) -> Columns:
        from datasets import Image

        table = _loaded(folder)
        pictures = [name for name, kind in table.features.items() if isinstance(kind, Image)]
        return columns_of(folder, table.column_names, pictures, self.asked)

    def _pictures(self, folder: Path) -> tuple[Any, str]:
        """Return the table of images alone, which are not decoded, and the name of its column."""
        from datasets import Image

        image = self._columns(folder).image
        table = _loaded(folder).select_columns([image])
        return table.cast_column(image, Image(decode=False)), image

    def _add(self, rows: Rows, name: str, folder: Path, split: str, columns: Columns) -> None:
        table, holder = _loaded(folder), folder / _ONE
        names = _class_names(folder, columns)
        texts = table.select_columns(columns.read_columns)
        for start in range(0, len(table), BATCH):
            stop = min(start + BATCH, len(table))
            held = texts[start:stop] if columns.read_columns else {}
            for row in range(start, stop):
                label = held[columns.label][row - start] if columns.label else None
                rows.add(
                    name_of(name or "rows", row, None),
                    (holder, row, 0),
                    split,
                    label=label if names is None or label is None else int(label),
                    caption=held[columns.caption][row - start] if columns.caption else None,
                )


def _class_names(folder: Path, columns: Columns) -> list[str] | None:
    """Return the names of a ClassLabel, or None."""
    return getattr(_loaded(folder).features.get(columns.label or ""), "names", None)


def _loaded(folder: Path) -> Any:
    """Return the table of a folder; a process opens it once, until it is saved again."""
    try:
        return _opened(folder, (folder / _ONE).stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); save it again") from None


@lru_cache(maxsize=8)
def _opened(folder: Path, stamp: int) -> Any:
    import datasets

    if list(folder.glob("*indices*")):
        raise InputError(
            f"{folder}: saved with a file of indices, as old versions of datasets did; save it"
            " again after flatten_indices()"
        )
    try:
        return datasets.load_from_disk(str(folder))
    except Exception as error:  # readers of foreign bytes raise nearly anything
        raise InputError(
            f"{folder}: not a readable saved data set ({first_line(error)}); save it again"
        ) from None
