"""Datasets: what a suite may say of them, and the source a dataset stage is keyed by."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ldmbench.catalog.datasets import RECIPES
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
    "tensor-linear",
]
Crop = Literal["center", "shortest", "lsun", "adm", "torchvision", "var", "squash", "none"]
Prepare = Literal[
    "ldm-lsun@1",
    "taming@1",
    "adm@1",
    "adm-lsun@1",
    "edm@1",
    "stylegan-box@1",
    "var@1",
    "spade@1",
    "lama@1",
    "u-vit@1",
]
"""Rows of `catalog.datasets.RECIPES`."""
Count = Annotated[int, Field(ge=1)]

CARVED = 1_000
"""Validation images of a data set that holds none out and whose suite names no number."""
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
    crop: Crop | None = Field(default=None, description="unset: the protocol's, else center")
    resize: Annotated[Resize | None, AXIS] = Field(
        default=None, description="a named resizer; unset: the protocol's, else pil-bicubic"
    )
    prepare: Prepare | None = Field(
        default=None,
        description="a recipe of crop and resize, named and versioned, instead of both",
    )
    upscale: bool = Field(default=False, description="whether small images may be enlarged")
    train: Count | None = Field(default=None, description="training images; all when unset")
    reference: Count | None = Field(
        default=None,
        description="real images to compare samples with; unset: the protocol's, else 10,000",
    )
    validation: Annotated[int, Field(ge=0)] = Field(
        default=CARVED, description="images whose captions prompt samples"
    )

    @model_validator(mode="after")
    def _one_preparation(self) -> Self:
        if self.prepare and (self.crop or self.resize):
            raise ValueError(
                f"found prepare: {self.prepare} beside crop or resize; write either the recipe, or"
                f" crop: {RECIPES[self.prepare].crop} and resize: {RECIPES[self.prepare].resize}"
            )
        return self

    @property
    def preparation(self) -> tuple[str | None, str | None]:
        """Crop and resize, by the recipe if there is one; None where nothing is written."""
        if self.prepare:
            return RECIPES[self.prepare].crop, RECIPES[self.prepare].resize
        return self.crop, self.resize

    def own_fields(self) -> dict[str, Any]:
        """Return what a kind says beside what all say, where it is not usual, as JSON."""
        shared = {*FilesData.model_fields}
        return self.model_dump(mode="json", exclude=shared, exclude_defaults=True)

    @property
    def carved(self) -> int:
        """How many images are for validation where no folder or list says which."""
        return self.validation


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


class TfRecordsData(FilesData):
    """TFRecord files of progressive GAN and StyleGAN: shape and data, read without TensorFlow."""

    kind: Literal["tfrecords"]


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


class NamedData(FilesData):
    """A published data set; its splits are those of its own lists or folders."""

    validation: Annotated[int, Field(ge=0)] | None = Field(  # type: ignore[assignment]
        default=None,
        description="images of the data set's own validation split that are used, all when unset;"
        " where it has none, images whose captions prompt samples, 1,000 when unset",
    )

    def own_fields(self) -> dict[str, Any]:
        """Return what a kind says beside what all say, and the limit of its validation split."""
        limit = {} if self.validation is None else {"limit": self.validation}
        return super().own_fields() | limit

    @property
    def carved(self) -> int:
        """How many images are for validation where no folder or list says which."""
        return CARVED if self.validation is None else self.validation


class CelebAHqData(NamedData):
    """CelebA-HQ: 30,000 faces as npy, as pictures of 1024 pixels, or resized."""

    kind: Literal["celebahq"]
    split: Literal["taming", "celeba", "all"] = Field(
        default="taming",
        description="taming-transformers' lists (25,000 + 5,000), CelebA's partition, or none",
    )


class FfhqData(NamedData):
    """FFHQ: 70,000 faces, by thousands or in one folder."""

    kind: Literal["ffhq"]
    split: Literal["official", "taming", "all"] = Field(
        default="official",
        description="the first 60,000 train; taming-transformers' random lists; or none",
    )


class LsunData(NamedData):
    """One category of LSUN: lmdb folders or exported images."""

    kind: Literal["lsun"]
    category: str = Field(description="church_outdoor, bedroom, cat, ...")
    split: Literal["official", "compvis"] = Field(
        default="official",
        description="the lmdb folders or train and val folders; or CompVis's lists, which hold"
        " 5,000 of the training images out",
    )


class ImageNetData(NamedData):
    """ILSVRC2012: a tree of any layout, file prefixes, or a zip with dataset.json."""

    kind: Literal["imagenet"]


class SmallImageNetData(NamedData):
    """Downsampled ImageNet (arXiv:1707.08819), 8 to 64 pixels: its authors' batches."""

    kind: Literal["imagenet_small"]


class Cifar10Data(NamedData):
    """CIFAR-10: its authors' batches, or images named by class; validation is its test split."""

    kind: Literal["cifar10"]


class CocoData(NamedData):
    """MS-COCO: images with captions, layouts or maps."""

    kind: Literal["coco"]
    year: Literal[2014, 2017] = 2017
    split: Literal["official", "karpathy", "karpathy-test"] = Field(
        default="official",
        description="by folders; or by Karpathy's dataset_coco.json, of which val or test is the"
        " validation split",
    )
    caption: Literal["first", "drawn", "mlperf"] = Field(
        default="first",
        description="of an image's captions the one with the lowest id, or one drawn by its id; or"
        " MLPerf's 30,000 validation images with the caption that it draws",
    )
    captions: str | None = Field(
        default=None,
        description="a .csv or .tsv of the validation images that are used, with columns image_id"
        " (or file_name) and caption, relative to path",
    )
    regions: Literal["none", "things", "taming", "sg2im", "map"] = Field(
        default="none",
        description="boxes of things; boxes of things and stuff by the rules of taming-transformers"
        " or sg2im; or the map of things and stuff",
    )
    ids: str | None = Field(
        default=None,
        description="a file with the ids of the validation images that are used, relative to path",
    )

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        """Refuse rules that choose images beside one another, or that are of the other year."""
        rules = {
            f"split: {self.split}": self.split != "official",
            "caption: mlperf": self.caption == "mlperf",
            f"captions: {self.captions}": self.captions is not None,
            f"ids: {self.ids}": self.ids is not None,
        }
        found = [name for name, written in rules.items() if written]
        if len(found) > 1:
            raise ValueError(
                f"found {' and '.join(found)}, each of which says which images count; keep one"
            )
        if found and found[0] in ("caption: mlperf", f"split: {self.split}") and self.year != 2014:
            raise ValueError(f"found {found[0]}, whose images are of 2014; write year: 2014")
        if self.split != "official" and self.regions != "none":
            raise ValueError(
                f"found regions: {self.regions} beside split: {self.split}, whose file has captions"
                " alone; keep one"
            )
        return self


class OpenImagesData(NamedData):
    """Open Images V6 with boxes."""

    kind: Literal["openimages"]
    regions: Literal["boxes", "none"] = Field(
        default="boxes",
        description="boxes above 1e-4 of the area, of images that have 2 to 30; or none",
    )


class Places365Data(NamedData):
    """Places365-Standard, in the layouts of its tars."""

    kind: Literal["places365"]


class Ade20kData(NamedData):
    """ADE20K (ADEChallengeData2016): images with a map of 150 classes."""

    kind: Literal["ade20k"]


class LandscapesData(NamedData):
    """Images with maps of 182 classes, as taming-transformers' S-FLCKR."""

    kind: Literal["landscapes"]


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
    | TfRecordsData
    | CelebAHqData
    | FfhqData
    | LsunData
    | ImageNetData
    | SmallImageNetData
    | Cifar10Data
    | CocoData
    | OpenImagesData
    | Places365Data
    | Ade20kData
    | LandscapesData
    | CallData
)


class DataFacts(Noun):
    """What a dataset can tell a model."""

    classes: int | None = Field(default=None, description="of labels and boxes; None: not known")
    captions: bool = False
    boxes: bool = False
    masks: bool = False


class ImageConditions(Noun):
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
