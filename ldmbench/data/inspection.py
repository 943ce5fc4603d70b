"""What a source of images holds, every picture decoded: sizes, lossy files, and what is damaged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ldmbench.canonical import digest_bytes
from ldmbench.data.decode import decode, npz_rows
from ldmbench.data.listing import (
    LOSSY,
    PICTURES,
    SPLITS,
    SUFFIXES,
    contents,
    list_images,
    other_files,
    top_folder,
)
from ldmbench.errors import InputError

__all__ = ["Inspection", "inspect_images"]


@dataclass
class Inspection:
    """What was found in a source.

    Attributes:
        names: of all images, in the order in which they are used; then pictures that are not read.
        digests: name -> sha256 of the file (of the pixels for an npz).
        sizes: (width, height) -> how many.
        lossy: how many are jpg, jpeg or webp files.
        captions: how many have one.
        left_out: files that are neither pictures nor captions.
        problems: one sentence for every image that cannot be used.
    """

    names: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    lossy: int = 0
    captions: int = 0
    left_out: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)


def inspect_images(path: Path) -> Inspection:
    """Decode every image of a folder, zip or npz and say what is there.

    Raises:
        InputError: if the source cannot be listed, or holds splits of a dataset.
    """
    files = list_images(path)
    splits = sorted({top_folder(f.name) for f in files} & set(SPLITS))
    if splits:
        raise InputError(
            f"{path}: holds the splits {', '.join(splits)}; name the folder of one of them"
        )
    others = other_files(path)
    foreign = [name for name in others if name.lower().endswith(PICTURES)]
    found = Inspection(
        names=(*(f.name for f in files), *foreign),
        left_out=tuple(name for name in others if name not in foreign),
        problems=[
            f"{path}/{name}: {PurePosixPath(name).suffix.lower()} files are not read, only"
            f" {', '.join(SUFFIXES)}; save each picture in one of these, or remove it"
            for name in foreign
        ],
    )
    found.captions = sum(f.text is not None or f.caption is not None for f in files)
    found.lossy = sum(PurePosixPath(name).suffix.lower() in LOSSY for name in found.names)
    if path.is_file() and path.suffix.lower() == ".npz":
        rows = npz_rows(path, range(len(files)), checked=True)
        for name, pixels in zip(found.names, rows, strict=True):
            found.digests[name] = digest_bytes(pixels.tobytes())
            found.sizes[pixels.shape[1], pixels.shape[0]] += 1
        return found
    for (_, name), data in contents([(path, f.name) for f in files], problems=found.problems):
        try:
            pixels = decode(data, f"{path}/{name}")
        except InputError as error:
            found.problems.append(str(error))
            continue
        found.digests[name] = digest_bytes(data)
        found.sizes[pixels.shape[1], pixels.shape[0]] += 1
    return found
