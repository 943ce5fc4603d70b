"""Data sets: what lies where, how many images, under which licence, from where, prepared how.

Facts are those of the data sets' own papers, pages and code; docs/datasets.md names the sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["DATASETS", "RECIPES", "DataSet", "Recipe"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named way in which a loader of the literature prepares images; never changed once named.

    Attributes:
        name: with its version.
        crop: a row of `data.resize.CROPS`.
        resize: a row of `data.resize.RESIZES`.
        source: the code that does so.
    """

    name: str
    crop: str
    resize: str
    source: str


RECIPES: Mapping[str, Recipe] = {
    row.name: row
    for row in (
        Recipe(name="ldm-lsun@1", crop="lsun", resize="pil-bicubic",
               source="CompVis/latent-diffusion ldm/data/lsun.py"),
        Recipe(name="taming@1", crop="shortest", resize="linear",
               source="CompVis/taming-transformers taming/data/base.py, faceshq.py"),
        Recipe(name="adm@1", crop="adm", resize="pil-bicubic",
               source="openai/guided-diffusion image_datasets.py; DiT, SiT, MAR, REPA, EDM2"),
        Recipe(name="adm-lsun@1", crop="center", resize="pil-box",
               source="openai/guided-diffusion datasets/lsun_bedroom.py"),
        Recipe(name="edm@1", crop="center", resize="pil-lanczos",
               source="NVlabs/edm dataset_tool.py center-crop; StyleGAN3"),
        Recipe(name="stylegan-box@1", crop="center", resize="pil-box",
               source="NVlabs/stylegan2-ada-pytorch dataset_tool.py --resize-filter box"),
        Recipe(name="var@1", crop="var", resize="pil-lanczos",
               source="FoundationVision/VAR utils/data.py"),
        Recipe(name="spade@1", crop="squash", resize="pil-bicubic",
               source="NVlabs/SPADE, test images; mlcommons coco-split-resize.py"),
        Recipe(name="lama@1", crop="shortest", resize="pil-bicubic",
               source="advimman/lama gen_mask_dataset.py, its square taken around the centre"),
        Recipe(name="u-vit@1", crop="center", resize="pil-lanczos",
               source="baofff/U-ViT datasets.py, MS-COCO"),
    )
}  # fmt: skip
"""Name of a preparation -> what it does."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One kind of data set.

    Attributes:
        name: the `kind` that a suite writes.
        about: what it is.
        expects: what lies at `path`.
        tells: what it says of images beside their pixels.
        counts: split -> images; none for a container.
        classes: of labels; 0 where it has none, or a container says it.
        licence: of the images; "" where there are none of others.
        home: where it is had; nothing is downloaded.
        bad: image -> what is wrong with it, and known.
        recipe: in which papers on latent diffusion prepare it, a row of RECIPES, or "".
    """

    name: str
    about: str
    expects: str
    tells: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    classes: int = 0
    licence: str = ""
    home: str = ""
    bad: Mapping[str, str] = field(default_factory=dict)
    recipe: str = ""

    @property
    def summary(self) -> str:
        """What it is, what lies at its path, its licence and home, for lists."""
        parts = [self.about, f"path: {self.expects}"] if self.expects else [self.about]
        if self.counts:
            numbers = ", ".join(f"{count:,} {split}" for split, count in self.counts.items())
            parts.append(f"images: {numbers}")
        if self.tells:
            parts.append(f"tells {', '.join(self.tells)}")
        if self.licence:
            parts.append(f"licence: {self.licence}")
        if self.home:
            parts.append(f"from {self.home}")
        return "; ".join(parts)


_ROWS = (
    DataSet(
        name="shapes",
        about="the embedded procedural scenes, drawn as they are needed",
        expects="",
        tells=("captions", "classes", "boxes", "masks"),
        classes=48,
    ),
    DataSet(
        name="folder",
        about="your own images, in any of the layouts of docs/data.md",
        expects="a folder, a .zip or an .npz of images",
        tells=("captions", "classes"),
    ),
    DataSet(
        name="imagefolder",
        about="images with Hugging Face's metadata file",
        expects="a folder or .zip with metadata.csv, metadata.jsonl or metadata.parquet",
        tells=("captions", "classes"),
    ),
    DataSet(
        name="edm",
        about="square images of EDM's, EDM2's, REPA's or StyleGAN's dataset_tool.py",
        expects="a .zip or folder with dataset.json",
        tells=("classes",),
    ),
    DataSet(
        name="npz",
        about="images of guided-diffusion's sample batches and reference batches",
        expects="an .npz with arr_0 (uint8 NHWC) and perhaps arr_1 (classes)",
        tells=("classes",),
    ),
    DataSet(
        name="webdataset",
        about="tar files of webdataset or img2dataset",
        expects="a .tar, or a folder of them; not compressed",
        tells=("captions", "classes"),
    ),
    DataSet(
        name="parquet",
        about="parquet files with a column of images, as Hugging Face's hub has them",
        expects="a .parquet, or a folder of them",
        tells=("captions", "classes"),
    ),
    DataSet(
        name="huggingface",
        about="a Dataset or DatasetDict of Hugging Face's datasets on disk",
        expects="a folder that save_to_disk wrote",
        tells=("captions", "classes"),
    ),
    DataSet(
        name="lmdb",
        about="lmdb folders whose values are encoded images, opened read-only",
        expects="a folder with data.mdb, or a folder of such",
    ),
    DataSet(
        name="hdf5",
        about="HDF5 files of PyTorch-StudioGAN",
        expects="a .hdf5 or .h5 with imgs (uint8 NHWC) and perhaps labels, or a folder of them",
        tells=("classes",),
    ),
    DataSet(
        name="call",
        about="images that a Python function or class of yours makes (docs/extending.md)",
        expects="",
        tells=("captions", "classes", "boxes", "masks"),
    ),
)
DATASETS: Mapping[str, DataSet] = {row.name: row for row in _ROWS}
"""The `kind` of a data set -> what is known of it."""
