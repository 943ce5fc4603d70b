"""The kinds of datasets whose images lie on disk, and what opens each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ldmbench.sources.images.members import SUFFIXES
from ldmbench.sources.images.source import Opener, Source
from ldmbench.sources.kinds.cifar10 import open_cifar10
from ldmbench.sources.kinds.coco import open_coco
from ldmbench.sources.kinds.faces import open_celebahq, open_ffhq
from ldmbench.sources.kinds.folder import open_folder
from ldmbench.sources.kinds.hdf5 import open_hdf5
from ldmbench.sources.kinds.huggingface import open_huggingface
from ldmbench.sources.kinds.imagenet import open_imagenet
from ldmbench.sources.kinds.lmdb import open_lmdb
from ldmbench.sources.kinds.lsun import open_lsun
from ldmbench.sources.kinds.openimages import open_openimages
from ldmbench.sources.kinds.packed import open_edm, open_imagefolder, open_npz
from ldmbench.sources.kinds.parquet import open_parquet
from ldmbench.sources.kinds.places365 import open_places365
from ldmbench.sources.kinds.scenes import open_ade20k, open_landscapes
from ldmbench.sources.kinds.small_imagenet import open_small_imagenet
from ldmbench.sources.kinds.tfrecords import open_tfrecords
from ldmbench.sources.kinds.webdataset import open_webdataset

__all__ = ["OPENERS", "kind_at", "open_source"]

OPENERS: Mapping[str, Opener] = {
    "folder": open_folder,
    "imagefolder": open_imagefolder,
    "edm": open_edm,
    "npz": open_npz,
    "webdataset": open_webdataset,
    "parquet": open_parquet,
    "huggingface": open_huggingface,
    "lmdb": open_lmdb,
    "hdf5": open_hdf5,
    "tfrecords": open_tfrecords,
    "celebahq": open_celebahq,
    "ffhq": open_ffhq,
    "lsun": open_lsun,
    "imagenet": open_imagenet,
    "cifar10": open_cifar10,
    "imagenet_small": open_small_imagenet,
    "coco": open_coco,
    "openimages": open_openimages,
    "places365": open_places365,
    "ade20k": open_ade20k,
    "landscapes": open_landscapes,
}
"""The `kind` of a noun of schema/data.py that is a FilesData -> what opens its files."""

_CONTAINERS = {
    ".tar": "webdataset",
    ".parquet": "parquet",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".tfrecords": "tfrecords",
    ".tfrecord": "tfrecords",
}
"""Suffix of a file of many images -> the kind that reads it."""


def kind_at(path: Path) -> str:
    """Return the container that a file or folder is by its names; "folder" where it is none.

    A folder is one if its files are of one container, and no picture and no folder lies in it.
    """
    if path.is_file():
        return "lmdb" if path.name == "data.mdb" else _CONTAINERS.get(path.suffix.lower(), "folder")
    inside = [file for file in path.iterdir() if not file.name.startswith(".")]
    names = {file.name for file in inside}
    if "dataset_dict.json" in names or {"dataset_info.json", "state.json"} <= names:
        return "huggingface"
    if "data.mdb" in names:
        return "lmdb"
    suffixes = {file.suffix.lower() for file in inside}
    found = {_CONTAINERS[suffix] for suffix in suffixes if suffix in _CONTAINERS}
    if ".tar" in suffixes and found == {"webdataset", "parquet"}:
        found = {"webdataset"}  # img2dataset's, whose parquet files say what was fetched
    plain = not any(file.is_dir() for file in inside) and not suffixes & {*SUFFIXES}
    return found.pop() if len(found) == 1 and plain else "folder"


def open_source(kind: str, path: Path, options: Mapping[str, object]) -> Source:
    """Return the images on disk of a dataset; nothing is read yet.

    Args:
        kind: a row of OPENERS.
        path: where they lie.
        options: the fields of its noun, as `FilesData.own_fields` has them.
    """
    return OPENERS[kind](path, options)
