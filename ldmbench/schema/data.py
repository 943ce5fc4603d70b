"""Datasets: what a suite may say of them, and the source a dataset stage is keyed by."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ldmbench.schema.base import AXIS, Noun

Split = Literal["train", "validation", "reference", "prompts", "truth", "all"]
"""`prompts` are the captions and classes of the validation images, repeated without end; `truth`
are these images with all that is known of them, repeated likewise; `all` are those of a source
whose images all lie in the folder of one split."""
Resolution = Annotated[int, AXIS, Field(ge=8, le=2048, description="side of the square, pixels")]
Resize = Literal[
    "pil-nearest",
    "pil-box",
    "pil-bilinear",
    "pil-hamming",
    "pil-bicubic",
    "pil-lanczos",
    "area",
    "linear",
]
Count = Annotated[int, Field(ge=1)]

DATASET_SHARD = 512
"""Images in one shard of a dataset."""
LARGEST_SCENE = 1024
"""Pixels of the largest side at which `shapes` are drawn."""


class ShapesData(Noun):
    """The embedded procedural scenes with captions, class labels, boxes and masks."""

    kind: Literal["shapes"] = "shapes"
    resolution: Resolution = 64
    texture: Annotated[Literal["plain", "fine"], AXIS] = Field(
        default="plain", description="how much fine detail lies over the scene"
    )
    objects: Annotated[int, AXIS, Field(ge=1, le=3)] = Field(
        default=3, description="most objects in a scene; there is always one"
    )
    seed: Annotated[int, AXIS, Field(ge=0)] = 0
    train: Count = Field(default=50_000, description="training images")
    reference: Count | None = Field(
        default=None,
        description="real images to compare samples with; unset: the protocol's, else 10,000",
    )


class FilesData(Noun):
    """Images that lie on disk: what every kind of them says; a kind adds fields of its own."""

    kind: str
    path: str = Field(description="relative to the suite file")
    resolution: Resolution = 256
    crop: Literal["center", "shortest", "lsun", "adm", "var", "squash", "none"] | None = Field(
        default=None, description="unset: the protocol's, else center"
    )
    resize: Annotated[Resize | None, AXIS] = Field(
        default=None, description="a named resizer; unset: the protocol's, else pil-bicubic"
    )
    upscale: bool = Field(default=False, description="whether small images may be enlarged")
    train: Count | None = Field(default=None, description="training images; all when unset")
    reference: Count | None = Field(
        default=None,
        description="real images to compare samples with; unset: the protocol's, else 10,000",
    )
    validation: Annotated[int, Field(ge=0)] = Field(
        default=1_000, description="images whose captions prompt samples"
    )


class FolderData(FilesData):
    """A folder, zip or ADM-style .npz of images."""

    kind: Literal["folder"]
    labels: Literal["folder", "name"] = Field(
        default="folder",
        description="what an image's class is: its folder (or what a file of the source says), or"
        " its file's name up to the first _, as guided-diffusion has it",
    )


class ImageFolderData(FilesData):
    """A folder or zip of images that a metadata.csv, .jsonl or .parquet of Hugging Face names."""

    kind: Literal["imagefolder"]


class EdmData(FilesData):
    """A zip or folder of EDM's or StyleGAN's dataset_tool.py, with its dataset.json."""

    kind: Literal["edm"]


class NpzData(FilesData):
    """An .npz of guided-diffusion: arr_0 of images, arr_1 of classes."""

    kind: Literal["npz"]


class LmdbData(FilesData):
    """Folders of data.mdb and lock.mdb whose values are encoded images."""

    kind: Literal["lmdb"]


class Hdf5Data(FilesData):
    """HDF5 files of PyTorch-StudioGAN: imgs and labels."""

    kind: Literal["hdf5"]


class ColumnsData(FilesData):
    """Images in records with names: what is the image, the caption and the class of each."""

    image: str | None = Field(
        default=None, description="column or field of the image; unset: found by its usual names"
    )
    caption: str | None = Field(default=None, description="likewise of the caption")
    label: str | None = Field(default=None, description="likewise of the class")


class WebdatasetData(ColumnsData):
    """Tar files of webdataset or img2dataset; not compressed."""

    kind: Literal["webdataset"]


class ParquetData(ColumnsData):
    """Parquet files with a column of images, as Hugging Face's hub has them."""

    kind: Literal["parquet"]


class HuggingFaceData(ColumnsData):
    """A folder that `save_to_disk` of Hugging Face's `datasets` wrote."""

    kind: Literal["huggingface"]


class CallData(Noun):
    """Your own images: a Python function or class; see docs/extending.md."""

    kind: Literal["call"]
    target: str = Field(
        description="module:name, the module beside the suite file or installed; or the name of an"
        " entry point of group ldmbench.datasets"
    )
    options: dict[str, Any] = Field(default={}, description="arguments of a class or function")
    files: tuple[str, ...] = Field(
        default=(), description="data and helpers whose contents belong to the key"
    )
    resolution: Resolution = 64
    train: Count = Field(default=50_000, description="training images")
    reference: Count | None = Field(
        default=None,
        description="real images to compare samples with; unset: the protocol's, else 10,000",
    )
    validation: Count | None = Field(
        default=None, description="images whose captions prompt samples; endless when unset"
    )
    classes: Count | None = Field(
        default=None, description="of labels; counted over the training images when unset"
    )


Data = (
    ShapesData
    | FolderData
    | ImageFolderData
    | EdmData
    | NpzData
    | WebdatasetData
    | ParquetData
    | HuggingFaceData
    | LmdbData
    | Hdf5Data
    | CallData
)


class DataFacts(Noun):
    """What a dataset can tell a model."""

    classes: int | None = Field(default=None, description="of labels and boxes; None: not known")
    captions: bool = False
    boxes: bool = False
    masks: bool = False


class Told(Noun):
    """What the images that a plan uses of a folder tell a model."""

    trained: int = Field(description="training images")
    captioned: int = Field(description="those of them that have a caption")
    classes: tuple[int, ...] = Field(description="of training images, each once")
    prompts: tuple[str, ...] = Field(description="captions of validation images, as samples use")
    classless: int = Field(description="training images without a class, where others have one")
    held_out: tuple[int, ...] = Field(
        description="the class of each validation image; -1 where it has none"
    )
    all_classes: int = Field(description="that labels of the whole source are counted by")
