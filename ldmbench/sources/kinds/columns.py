"""Which columns of a table hold images, captions and classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sources.images.disk import some
from ldmbench.sources.images.rows import TEXTS

__all__ = ["Asked", "ClassNames", "Columns", "columns_of", "image_in", "name_of"]

_IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "pixel_values")
_CLASSES = ("label", "labels", "class", "fine_label", "cls")


@dataclass(frozen=True)
class Asked:
    """The columns that a suite names; None: found by usual names.

    Attributes:
        image: of images.
        caption: of captions.
        label: of classes.
    """

    image: str | None = None
    caption: str | None = None
    label: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Asked:
        """Return what the fields of a noun say."""
        return cls(options.get("image"), options.get("caption"), options.get("label"))


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        image: of images.
        caption: of captions, or None.
        label: of classes, or None.
        unread: other columns.
    """

    image: str
    caption: str | None
    label: str | None
    unread: tuple[str, ...]

    @property
    def remarks(self) -> list[str]:
        """What is to be said of them."""
        return [f"columns that nothing reads: {some(self.unread, 8)}"] if self.unread else []

    @property
    def read_columns(self) -> list[str]:
        """The columns of captions and classes."""
        return [name for name in (self.caption, self.label) if name]


@dataclass
class ClassNames:
    """The names of classes that tables say, which all of them must say in one order.

    Attributes:
        said: table -> the names.
    """

    said: dict[Path, tuple[str, ...]] = field(default_factory=dict)

    def add(self, path: Path, names: Sequence[str] | None) -> None:
        """Add the names of a table; None: it says none.

        Raises:
            InputError: another table says others, or in another order.
        """
        if names is None:
            return
        for other, known in self.said.items():
            if known != tuple(names):
                raise InputError(
                    f"{path}: its classes are {some(names)}, and those of {other} are"
                    f" {some(known)}, so one number is two classes; save both with the same names"
                    " in the same order"
                )
        self.said = {path: tuple(names)}

    def refuse_beyond(self, labels: Sequence[object]) -> None:
        """Refuse numbers of classes that have no name."""
        for path, names in self.said.items():
            most = max((label for label in labels if isinstance(label, int)), default=0)
            if most >= len(names):
                raise InputError(
                    f"{path}: an image is of class {most}, and its ClassLabel has {len(names):,}"
                    f" names, {some(names)}; save it again"
                )


def columns_of(
    path: Path, names: Sequence[str], pictures: Collection[str], asked: Asked
) -> Columns:
    """Return which columns are read.

    Args:
        path: of the table, for errors.
        names: of all columns.
        pictures: of those whose type can hold images.
        asked: what the suite names.

    Raises:
        InputError: no column holds images, several may, or one that is named is not there.
    """
    twice = [name for name in names if list(names).count(name) > 1]
    if twice:
        raise InputError(f"{path}: the column {twice[0]} is there twice; keep one of them")
    for place, name in (("image", asked.image), ("caption", asked.caption), ("label", asked.label)):
        if name is not None and name not in names:
            raise InputError(
                f"{path}: no column {name} for data.{place}{nearest(name, names)}; there are:"
                f" {', '.join(names)}"
            )
    image = asked.image or _one(path, names, pictures)
    if image not in pictures:
        raise InputError(
            f"{path}: the column {image} holds no images (bytes, or bytes and path); there are:"
            f" {', '.join(names)}"
        )
    caption = asked.caption or _usual_column(path, names, TEXTS, "caption")
    label = asked.label or _usual_column(path, names, _CLASSES, "label")
    used = (image, caption, label)
    return Columns(image, caption, label, tuple(name for name in names if name not in used))


def image_in(found: object, where: str) -> bytes | InputError:
    """Return the bytes of an image column's value: bytes, or a mapping of bytes and path."""
    data = found.get("bytes") if isinstance(found, Mapping) else found
    if isinstance(data, bytes):
        return data
    path = found.get("path") if isinstance(found, Mapping) else None
    linked = f"only the path {path} and no bytes" if path else "no bytes"
    return InputError(f"{where}: has {linked}; embed the images when you save the data set")


def name_of(shard: str, row: int, path: object) -> str:
    """Return what an image is called: its shard, its row, and the suffix of its own path."""
    suffix = Path(path).suffix.lower() if isinstance(path, str) else ""
    return f"{shard}/{row:09d}{suffix}"


def _one(path: Path, names: Sequence[str], pictures: Collection[str]) -> str:
    usual = [name for name in _IMAGES if name in pictures]
    found = usual[:1] or [name for name in names if name in pictures]
    if len(found) != 1:
        what = f"several columns may hold images ({', '.join(found)})" if found else "no images"
        raise InputError(
            f"{path}: {what}; name the column in data.image, there are: {', '.join(names)}"
        )
    return found[0]


def _usual_column(path: Path, names: Sequence[str], usual: Sequence[str], field: str) -> str | None:
    found = [name for name in usual if name in names]
    if len(found) > 1:
        raise InputError(
            f"{path}: {' and '.join(found)} could both be the {field}; name one in data.{field}"
        )
    return found[0] if found else None
