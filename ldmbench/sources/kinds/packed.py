"""The dataset kinds `imagefolder`, `edm` and `npz`: a folder, zip or npz that must be of one form.

`folder` reads the same files, and takes what it finds; these refuse what the form demands and is
not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.sources.images.members import is_npz
from ldmbench.sources.images.source import Listing
from ldmbench.sources.images.tables import LABELS, METADATA
from ldmbench.sources.kinds.folder import FolderSource

__all__ = ["EdmZip", "ImageFolder", "Npz", "open_edm", "open_imagefolder", "open_npz"]


def open_imagefolder(path: Path, options: Mapping[str, object]) -> ImageFolder:
    """Return the images of a folder with Hugging Face's metadata file."""
    return ImageFolder(path)


def open_edm(path: Path, options: Mapping[str, object]) -> EdmZip:
    """Return the images of a zip or folder that EDM's or StyleGAN's dataset_tool.py wrote."""
    return EdmZip(path)


def open_npz(path: Path, options: Mapping[str, object]) -> Npz:
    """Return the images of an npz as guided-diffusion writes it."""
    return Npz(path)


@dataclass(frozen=True)
class ImageFolder(FolderSource):
    """Images with a metadata.csv, metadata.jsonl or metadata.parquet that names them."""

    def listing(self) -> Listing:
        """Return what it holds; refuses a folder without metadata."""
        listing = super().listing()
        if not any(name.rpartition("/")[2] in METADATA for name in listing.tables):
            raise InputError(
                f"{self.path}: no {' or '.join(METADATA)} in it, which kind: imagefolder expects;"
                " kind: folder reads images without one"
            )
        return listing


@dataclass(frozen=True)
class EdmZip(FolderSource):
    """Square images with a dataset.json, as EDM, EDM2, REPA and StyleGAN keep them."""

    def listing(self) -> Listing:
        """Return what it holds; refuses images without a dataset.json."""
        listing = super().listing()
        if LABELS not in listing.tables:
            raise InputError(
                f"{self.path}: no {LABELS} at its top, which kind: edm expects (dataset_tool.py"
                " writes one); kind: folder reads images without one"
            )
        return listing

    def check(self, cache: Path | None, *, resolution: int, crop: str, upscale: bool) -> None:
        """Refuse images that a run could not use, and those that are not square."""
        super().check(cache, resolution=resolution, crop="none", upscale=upscale)


@dataclass(frozen=True)
class Npz(FolderSource):
    """An npz with arr_0, uint8 (N, H, W, 3), and arr_1 where there are classes."""

    def listing(self) -> Listing:
        """Return what it holds; refuses what is no npz."""
        if not is_npz(self.path):
            raise InputError(f"{self.path}: no .npz file, which kind: npz expects")
        return super().listing()
