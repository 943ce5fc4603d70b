"""Detectors of objects that lie on disk: DETR of transformers, by its folder; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ldmbench.canonical import digest_files
from ldmbench.errors import InputError
from ldmbench.sources.models.places import read_json

__all__ = ["CLASS", "DetectorFiles", "detector_at", "twins"]

CLASS, PROCESSOR = "DetrForObjectDetection", "preprocessor_config.json"
NO_CLASS = "N/A"
"""The name of labels that COCO does not use."""


@dataclass(frozen=True)
class DetectorFiles:
    """What the files of a detector say.

    Attributes:
        place: its folder.
        files: config, preparation and weights.
        labels: the name of each label, in their order; "N/A" where a label means nothing.
    """

    place: Path
    files: tuple[Path, ...]
    labels: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Return the digest of config, preparation and weights."""
        return _digest(self.files, tuple(file.stat().st_mtime_ns for file in self.files))


@cache
def _digest(files: tuple[Path, ...], stamps: tuple[int, ...]) -> str:
    return digest_files(list(files), root=files[0].parent)


def detector_at(name: str, folder: Path = Path()) -> DetectorFiles:
    """Return a detector by its path, relative to a folder; nothing of it is executed.

    Raises:
        InputError: it is not there, is of another class or of code of its own, or lacks a file.
    """
    place = (folder / name).resolve()
    allowed = (
        f"allowed: the folder of a {CLASS} of transformers, with config.json, {PROCESSOR} and"
        " model.safetensors, such as a copy of facebook/detr-resnet-50 (branch no_timm)"
    )
    if not place.is_dir():
        raise InputError(f"found '{name}', which is not there (looked for {place}); {allowed}")
    lost = [n for n in ("config.json", PROCESSOR) if not (place / n).is_file()]
    weights = sorted(place.glob("*.safetensors"))
    lost += [] if weights else ["model.safetensors"]
    if lost:
        raise InputError(f"found '{name}', but {place} has no {', '.join(lost)}; {allowed}")
    config = read_json(place / "config.json")
    if config.get("auto_map"):
        raise InputError(
            f"found '{name}', whose config names a class of its own code (auto_map), which is not"
            f" executed; {allowed}"
        )
    classes = config.get("architectures") or [str(config.get("model_type"))]
    if classes != [CLASS]:
        raise InputError(f"found '{name}', a {', '.join(map(str, classes))}; {allowed}")
    table = config.get("id2label")
    if not isinstance(table, dict) or not all(str(i) in table for i in range(len(table))):
        raise InputError(
            f"found '{name}', whose config has no id2label of labels 0, 1, ...: their names are"
            " matched with the classes of data; write it into config.json"
        )
    labels = tuple(str(table[str(i)]) for i in range(len(table)))
    return DetectorFiles(place, (place / "config.json", place / PROCESSOR, *weights), labels)


def twins(classes: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Return the label of each class of data by its name, -1 where a detector has none.

    Names are compared without case and surrounding white space, never by their order.

    Examples:
        >>> twins(["Dog", "sky", "cat"], ["N/A", "cat", "dog"])
        [2, -1, 1]
    """
    known = {_plain(name): i for i, name in enumerate(labels) if name != NO_CLASS}
    return [known.get(_plain(name), -1) for name in classes]


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
