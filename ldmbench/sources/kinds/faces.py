"""The dataset kinds `celebahq` and `ffhq`: faces with a number, in splits of published lists."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, Payload, some
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.tree import NamedImages, Tree, lines_in, refuse_missing, tree_at

__all__ = ["Faces", "open_celebahq", "open_ffhq"]

_NUMBER = re.compile(r"(?:imgHQ)?(\d{1,5})")
_FFHQ_TRAIN = 60_000
_LISTS = {
    "celebahq": ("celebahqtrain.txt", "celebahqvalidation.txt"),
    "ffhq": ("ffhqtrain.txt", "ffhqvalidation.txt"),
}
"""Lists of CompVis and taming-transformers: one file's name a line."""
_PARTITION, _MAPPING = "list_eval_partition.txt", "CelebA-HQ-to-CelebA-mapping.txt"


def open_celebahq(path: Path, options: Mapping[str, Any]) -> Faces:
    """Return CelebA-HQ; the fields of CelebAHqData are options."""
    return Faces(path, "celebahq", options.get("limit"), options.get("split", "taming"))


def open_ffhq(path: Path, options: Mapping[str, Any]) -> Faces:
    """Return FFHQ; the fields of FfhqData are options."""
    return Faces(path, "ffhq", options.get("limit"), options.get("split", "official"))


@dataclass(frozen=True)
class Faces(NamedImages):
    """Faces whose file names are numbers: pictures, or npy of uint8 (1, 3, H, W).

    Attributes:
        split: official (FFHQ: the first 60,000 train), taming (lists of taming-transformers),
            celeba (CelebA's partition), or all: no split of its own.
    """

    split: str

    def look(self) -> Found:
        """Look at names, and at the lists of splits."""
        tree = tree_at(self.path)
        named = [*tree.pictures, *tree.with_suffix(".npy")]
        numbered = self._numbered(named)
        splits, read, remarks = self._splits(tree, sorted(numbered))
        shift = self._shift(numbered)
        files = [
            ImageFile(f"{n - shift:05d}", self.path, 0, None, None, splits.get(n - shift, ""), at)
            for n, at in numbered.items()
            if self.split == "all" or n - shift in splits
        ]
        left = len(numbered) - len(files)
        if left:
            remarks.append(f"{left:,} images are in no list of the split {self.split}")
        if self.kind == "celebahq" and self.split != "all" and not shift and 0 not in numbered:
            remarks.append(
                "00000 is not here: numbers are read as counted from 0, and LaMa's copy, which"
                " counts from 1, is known by its 30000"
            )
        strange = [at for at in named if not _NUMBER.fullmatch(Path(at).stem)]
        return Found(tuple(files), read, tree.folders, tuple(remarks), pictures=strange)

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the bytes of pictures, the pixels of npy files."""
        for file, payload in zip(files, super().payloads(files), strict=True):
            if file.at.lower().endswith(".npy") and isinstance(payload, bytes):
                yield _pixels(payload, file.where)
            else:
                yield payload

    def _numbered(self, named: Sequence[str]) -> dict[int, str]:
        """Return number -> file; a face of which there are several is refused."""
        rows = [(name, _NUMBER.fullmatch(Path(name).stem)) for name in named]
        tops = sorted({name.partition("/")[0] for name, m in rows if m and "/" in name})
        copies = [top for top in tops if re.search("images|thumbnails|img|in-the-wild", top)]
        if len(copies) > 1:
            raise InputError(
                f"{self.path}: {' and '.join(copies)} hold the same faces; name one of them in"
                " data.path"
            )
        found: dict[int, str] = {}
        for name, match in rows:
            if not match:
                continue
            number = int(match[1])
            if number in found:
                raise InputError(
                    f"{self.path}: {found[number]} and {name} are one face; name the folder of one"
                )
            found[number] = name
        whole = sum(self.full.values())
        if found and max(found) > whole:
            raise InputError(
                f"{self.path}: {found[max(found)]} is the number of no face of {self.kind}, which"
                f" has {whole:,}; name the folder of {self.kind}, or read it as kind: folder"
            )
        if not found:
            raise InputError(
                f"{self.path}: no image whose name is a number, such as 00000.png or imgHQ00000.npy"
            )
        return found

    def _shift(self, numbered: Mapping[int, str]) -> int:
        """Return 1 where CelebA-HQ is numbered from 1, as LaMa's copy is: 00001 to 30000."""
        return int(self.kind == "celebahq" and 0 not in numbered and 30_000 in numbered)

    def _splits(
        self, tree: Tree, numbers: Sequence[int]
    ) -> tuple[dict[int, str], tuple[Path, ...], list[str]]:
        """Return number -> split, the files that say so, and remarks."""
        if self.split == "all":
            return {}, (), []
        if self.split == "official":
            return {n: "train" if n < _FFHQ_TRAIN else "validation" for n in numbers}, (), []
        lies = {name.rpartition("/")[2]: self.path / name for name in tree.with_suffix(".txt")}
        if self.split == "celeba":
            return self._celeba(lies)
        return self._listed(lies, numbers)

    def _listed(
        self, lies: Mapping[str, Path], numbers: Sequence[int]
    ) -> tuple[dict[int, str], tuple[Path, ...], list[str]]:
        names, found, remarks = _LISTS[self.kind], dict[int, str](), list[str]()
        self._refuse_lists([name for name in names if name not in lies])
        for name, split in zip(names, ("train", "validation"), strict=True):
            listed = lines_in(lies[name])
            rows = [_NUMBER.fullmatch(Path(line).stem) for line in listed]
            if not all(rows):
                wrong = next(line for line, row in zip(listed, rows, strict=True) if not row)
                raise InputError(f"{lies[name]}: '{wrong}' is no name of a face, such as 00000.png")
            these = [int(row[1]) for row in rows if row]
            there = {*these} & {*numbers}
            remarks += refuse_missing(
                self.path, name, [f"{n:05d}" for n in these], [f"{n:05d}" for n in there]
            )
            twice = [n for n in these if n in found]
            if twice:
                raise InputError(f"{lies[name]}: {twice[0]:05d} is in {names[0]} too; keep one")
            found |= dict.fromkeys(these, split)
        return found, tuple(lies[name] for name in names), remarks

    def _celeba(
        self, lies: Mapping[str, Path]
    ) -> tuple[dict[int, str], tuple[Path, ...], list[str]]:
        self._refuse_lists([name for name in (_PARTITION, _MAPPING) if name not in lies])
        words = {"0": "train", "1": "validation", "2": "test"}
        try:
            parts = dict(line.split() for line in lines_in(lies[_PARTITION]))
            rows = [line.split() for line in lines_in(lies[_MAPPING])[1:]]
            found = {int(row[0]): words[parts[row[2]]] for row in rows}
        except (ValueError, KeyError, IndexError) as error:
            raise InputError(
                f"{lies[_MAPPING]}: does not map each face to a file of {_PARTITION} ({error})"
            ) from None
        return found, (lies[_PARTITION], lies[_MAPPING]), []

    def _refuse_lists(self, lost: Sequence[str]) -> None:
        if lost:
            other = "official or all" if self.kind == "ffhq" else "all"
            raise InputError(
                f"{self.path}: {some(lost)} {'is' if len(lost) == 1 else 'are'} not here, which the"
                f" split {self.split} is read from; put it there, or write split: {other}"
            )


def _pixels(data: bytes, where: str) -> Payload:
    try:
        found = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        return InputError(f"{where}: not a readable npy ({error}); fetch it again")
    shape = found.shape[1:] if found.ndim == 4 and len(found) == 1 else found.shape
    if found.dtype != np.uint8 or len(shape) != 3 or shape[0] != 3:
        return InputError(
            f"{where}: is {found.dtype} {found.shape}; the npy of CelebA-HQ are uint8 (1, 3, H, W)"
        )
    return np.ascontiguousarray(found.reshape(shape).transpose(1, 2, 0))
