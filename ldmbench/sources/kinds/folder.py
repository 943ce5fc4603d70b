"""The dataset kind `folder`: a folder, zip or ADM-style npz of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ldmbench.canonical import Stamp, stamp_of
from ldmbench.sources.digests import source_digest
from ldmbench.sources.images.captions import read_captions
from ldmbench.sources.images.decode import decode, npz_rows
from ldmbench.sources.images.inspection import check_images, inspect_images
from ldmbench.sources.images.listing import list_source
from ldmbench.sources.images.members import contents, is_npz
from ldmbench.sources.images.source import ImageFile, Inspection, Listing, Pixels, Regions

__all__ = ["FolderSource", "open_folder"]


def open_folder(path: Path, options: Mapping[str, object]) -> FolderSource:
    """Return the images of a folder, zip or npz, with the `labels` of FolderData."""
    return FolderSource(path, str(options.get("labels", "folder")))


@dataclass(frozen=True)
class FolderSource:
    """Images of a folder, zip or npz; methods as `Source`.

    Attributes:
        path: folder, zip or npz.
        labels: what an image's class is: "folder" or "name", as in `list_source`.
    """

    path: Path
    labels: str = "folder"

    def listing(self) -> Listing:
        """Return what it holds."""
        return list_source(self.path, self.labels)

    def digest(self, cache: Path | None) -> str:
        """Return the sha256 of names and contents; classes by name follow from the names."""
        return source_digest(self.path, cache)

    def check(self, cache: Path | None, *, resolution: int, crop: str, upscale: bool) -> None:
        """Refuse images that a run could not use."""
        check_images(self.path, cache, resolution=resolution, crop=crop, upscale=upscale)

    def inspect(self) -> Inspection:
        """Decode every image and say what is there."""
        return inspect_images(self.path)

    def states(self, files: Sequence[ImageFile]) -> dict[str, Stamp | None]:
        """Return the stamps of images and of the captions beside them; a zip or npz is one file."""
        if not self.path.is_dir():
            return {"": _state(self.path)}
        names = {name for file in files for name in (file.at, file.text) if name}
        return {name: _state(self.path / name) for name in names}

    def captions(self, files: Sequence[ImageFile]) -> tuple[str, ...] | None:
        """Return the caption of each image."""
        return read_captions(files)

    def pictures(self, files: Sequence[ImageFile]) -> Iterator[Pixels]:
        """Yield uint8 HWC for each image."""
        if is_npz(self.path):
            yield from npz_rows(self.path, [int(file.name) for file in files])
            return
        for (_, name), data in contents((self.path, file.at) for file in files):
            yield decode(data, f"{self.path}/{name}")

    def regions(self, files: Sequence[ImageFile]) -> Iterator[Regions]:
        """Yield nothing: a folder says nothing of what is where."""
        return iter(())


def _state(file: Path) -> Stamp | None:
    try:
        return stamp_of(file.stat())
    except OSError:
        return None
