"""Networks of transformers on disk that read samples: detectors, segmenters; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ldmbench.canonical import digest_files
from ldmbench.errors import InputError
from ldmbench.sources.models.places import read_json

__all__ = ["DETECTOR", "JUDGES", "SEGMENTER", "Judge", "JudgeFiles", "classes_of_labels", "twins"]

PROCESSOR = "preprocessor_config.json"
NO_CLASS = "N/A"
"""The name of labels that COCO does not use."""
_PROCESSORS = ("FeatureExtractor", "ImageProcessor", "ImageProcessorFast", "ImageProcessorPil")
"""What stands behind the name of a processor, in files of all ages."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What a field of a suite names: a network that reads samples.

    Attributes:
        field: of the suite.
        reads: boxes or maps.
        classes: class of transformers -> the names of its processors, its own first.
        example: a folder that would do.
    """

    field: Literal["detector", "segmenter"]
    reads: Literal["boxes", "map"]
    classes: Mapping[str, tuple[str, ...]]
    example: str

    def at(self, name: str, folder: Path = Path()) -> JudgeFiles:
        """Return a network by its path, relative to a folder; nothing of it is executed.

        Raises:
            InputError: it is not there, is of another class or of code of its own, or lacks a file.
        """
        place = (folder / name).resolve()
        allowed = (
            f"allowed: the folder of a {' or '.join(self.classes)} of transformers, with"
            f" config.json, {PROCESSOR} and model.safetensors, such as a copy of {self.example}"
        )
        if not place.is_dir():
            raise InputError(f"found '{name}', which is not there (looked for {place}); {allowed}")
        lost = [n for n in ("config.json", PROCESSOR) if not (place / n).is_file()]
        weights = sorted(place.glob("*.safetensors"))
        lost += [] if weights else ["model.safetensors"]
        if lost:
            raise InputError(f"found '{name}', but {place} has no {', '.join(lost)}; {allowed}")
        config, prepared = read_json(place / "config.json"), read_json(place / PROCESSOR)
        if config.get("auto_map") or prepared.get("auto_map"):
            raise InputError(
                f"found '{name}', whose config names a class of its own code (auto_map), which is"
                f" not executed; {allowed}"
            )
        classes = config.get("architectures") or [str(config.get("model_type"))]
        if len(classes) != 1 or classes[0] not in self.classes:
            raise InputError(f"found '{name}', a {', '.join(map(str, classes))}; {allowed}")
        files = (place / "config.json", place / PROCESSOR, *weights)
        processor = _processor(name, prepared, self.classes[classes[0]])
        return JudgeFiles(place, files, _labels(name, config), classes[0], processor)


@dataclass(frozen=True)
class JudgeFiles:
    """What the files of such a network say.

    Attributes:
        place: its folder.
        files: config, preparation and weights.
        labels: the name of each label, in their order; "N/A" where a label means nothing.
        network: its class in transformers.
        processor: name of what prepares images, without "ImageProcessor".
    """

    place: Path
    files: tuple[Path, ...]
    labels: tuple[str, ...]
    network: str
    processor: str

    @property
    def short(self) -> str:
        """Return the name of the network in signatures: detr, segformer."""
        return self.network.partition("For")[0].lower()

    @property
    def digest(self) -> str:
        """Return the digest of config, preparation and weights."""
        return _digest(self.files, tuple(file.stat().st_mtime_ns for file in self.files))


DETECTOR = Judge(
    field="detector",
    reads="boxes",
    classes={"DetrForObjectDetection": ("Detr",)},
    example="facebook/detr-resnet-50 (branch no_timm)",
)
SEGMENTER = Judge(
    field="segmenter",
    reads="map",
    classes={
        "SegformerForSemanticSegmentation": ("Segformer",),
        "UperNetForSemanticSegmentation": ("Segformer",),
        "BeitForSemanticSegmentation": ("Beit",),
        "DPTForSemanticSegmentation": ("DPT",),
        "MaskFormerForInstanceSegmentation": ("MaskFormer",),
        "Mask2FormerForUniversalSegmentation": ("Mask2Former", "MaskFormer"),
    },
    example="nvidia/segformer-b5-finetuned-ade-640-640",
)
JUDGES = (DETECTOR, SEGMENTER)


@cache
def _digest(files: tuple[Path, ...], stamps: tuple[int, ...]) -> str:
    return digest_files(list(files), root=files[0].parent)


def _processor(name: str, prepared: Mapping[str, Any], known: Sequence[str]) -> str:
    """Return what prepares images; where its file does not say, what transformers takes."""
    stated = prepared.get("image_processor_type") or prepared.get("feature_extractor_type")
    if stated is None:
        return known[0]
    found = next((p for p in known if str(stated) in {f"{p}{end}" for end in _PROCESSORS}), None)
    if found is None:
        raise InputError(
            f"found '{name}', whose {PROCESSOR} names a {stated}; allowed for its network:"
            f" {' or '.join(f'{p}ImageProcessor' for p in known)}"
        )
    return found


def _labels(name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of labels 0, 1, ..."""
    table = config.get("id2label")
    if not isinstance(table, dict) or not all(str(i) in table for i in range(len(table))):
        raise InputError(
            f"found '{name}', whose config has no id2label of labels 0, 1, ...: their names are"
            " matched with the classes of data; write it into config.json"
        )
    return tuple(str(table[str(i)]) for i in range(len(table)))


def twins(classes: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Return the label of each class of data by its name, -1 where a detector has none.

    Names are compared without case and surrounding white space, never by their order.

    Examples:
        >>> twins(["Dog", "sky", "cat"], ["N/A", "cat", "dog"])
        [2, -1, 1]
    """
    known = {_plain(name): i for i, name in enumerate(labels) if name != NO_CLASS}
    return [known.get(_plain(name), -1) for name in classes]


def classes_of_labels(labels: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the class of data of each label by its name, -1 where there is none.

    A name may be several, behind commas: "sofa, couch". A label is of the class that has its whole
    name, else of that which has its first name first, else of the only one that has its first
    name at all.

    Examples:
        >>> classes_of_labels(["Couch", "sky", "screen", "hut"], ["sky", "sofa, couch", "screen"])
        [1, 0, 2, -1]
    """
    every = [[_plain(part) for part in name.split(",")] for name in classes]
    found = []
    for label in labels:
        whole = [_plain(part) for part in label.split(",")]
        first = whole[0]
        ranks = (
            [i for i, names in enumerate(every) if names == whole],
            [i for i, names in enumerate(every) if names[0] == first],
            [i for i, names in enumerate(every) if first in names],
        )
        only = next((rank for rank in ranks if rank), [])
        found.append(only[0] if len(only) == 1 and label != NO_CLASS else -1)
    return found


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
