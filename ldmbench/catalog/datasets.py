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
        captions: where those are, in messages; "" where they lie as in a folder of images.
        labels: where classes are, in messages; "" where folders are classes.
        counts: split -> images; none for a container.
        classes: of labels; 0 where it has none, or a container says it.
        licence: of the images; "" where there are none of others.
        home: the page that offers it; nothing is downloaded.
        bad: image -> what is wrong with it, and known.
        recipe: in which papers on latent diffusion prepare it, a row of RECIPES, or "".
    """

    name: str
    about: str
    expects: str
    tells: tuple[str, ...] = ()
    captions: str = ""
    labels: str = ""
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


_CMYK = """
n01739381_1309 n02077923_14822 n02447366_23489 n02492035_15739 n02747177_10752 n03018349_4028
n03062245_4620 n03347037_9675 n03467068_12171 n03529860_11437 n03544143_17228 n03633091_5218
n03710637_5125 n03961711_5286 n04033995_2932 n04258138_17003 n04264628_27969 n04336792_7448
n04371774_5854 n04596742_4225 n07583066_647 n13037406_4650
"""
"""Training images of ImageNet that are CMYK (cytsai/ilsvrc-cmyk-image-list)."""
_IMAGENET_BAD = {
    **{f"{name}.JPEG": "a CMYK image" for name in _CMYK.split()},
    "n02105855_2933.JPEG": "a PNG",
}
_LSUN_TRAIN = {
    "church_outdoor": 126_227, "bedroom": 3_033_042, "bridge": 818_687, "classroom": 168_103,
    "conference_room": 229_069, "dining_room": 657_571, "kitchen": 2_212_277,
}  # fmt: skip
LSUN: Mapping[str, Mapping[str, int]] = {
    **{name: {"train": count, "validation": 300} for name, count in _LSUN_TRAIN.items()},
    "horse": {"train": 2_000_340},
    "cat": {"train": 1_657_264},
}
"""Category of LSUN -> images of its splits."""
CIFAR10_MD5: Mapping[str, str] = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""Batch of CIFAR-10 -> md5 of its file."""


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
        labels="labels of dataset.json",
    ),
    DataSet(
        name="npz",
        about="images of guided-diffusion's sample batches and reference batches",
        expects="an .npz with arr_0 (uint8 NHWC) and perhaps arr_1 (classes)",
        tells=("classes",),
        labels="arr_1 of the npz (numpy.savez(path, images, labels))",
    ),
    DataSet(
        name="webdataset",
        about="tar files of webdataset or img2dataset",
        expects="a .tar, or a folder of them; not compressed",
        tells=("captions", "classes"),
        captions="a .txt or .json of each sample, or a field named in data.caption",
        labels="a .cls of each sample, or a field named in data.label",
    ),
    DataSet(
        name="parquet",
        about="parquet files with a column of images, as Hugging Face's hub has them",
        expects="a .parquet, or a folder of them",
        tells=("captions", "classes"),
        captions="a column text or caption, or its name in data.caption",
        labels="a column label, or its name in data.label",
    ),
    DataSet(
        name="huggingface",
        about="a Dataset or DatasetDict of Hugging Face's datasets on disk",
        expects="a folder that save_to_disk wrote",
        tells=("captions", "classes"),
        captions="a column text or caption, or its name in data.caption",
        labels="a column label, or its name in data.label",
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
        labels="an array labels",
    ),
    DataSet(
        name="tfrecords",
        about="TFRecord files of progressive GAN and StyleGAN",
        expects="one file of one size, such as celebahq-r08.tfrecords, and perhaps"
        " celebahq-rxx.labels beside it",
        tells=("classes",),
        labels="NAME-rxx.labels beside the records",
    ),
    DataSet(
        name="celebahq",
        about="CelebA-HQ, 30,000 faces of 1024 pixels",
        expects="imgHQ00000.npy, CelebA-HQ-img/0.jpg, or 00000.png or .jpg; with celebahqtrain.txt"
        " and celebahqvalidation.txt of taming-transformers for its split",
        counts={"train": 25_000, "validation": 5_000},
        licence="CelebA agreement, CC BY-NC 4.0: research, no redistribution",
        home="github.com/tkarras/progressive_growing_of_gans or"
        " github.com/switchablenorms/CelebAMask-HQ",
        recipe="taming@1",
    ),
    DataSet(
        name="ffhq",
        about="FFHQ, 70,000 faces of 1024 pixels",
        expects="images1024x1024/00000/00000.png, or 00000.png in one folder",
        counts={"train": 60_000, "validation": 10_000},
        licence="CC BY-NC-SA 4.0, photos by licences of their own",
        home="github.com/NVlabs/ffhq-dataset",
        recipe="taming@1",
    ),
    DataSet(
        name="lsun",
        about="one category of LSUN, short side 256 pixels",
        expects="CATEGORY_train_lmdb and CATEGORY_val_lmdb, or images named by 40 hexadecimal"
        " digits; with CompVis's lists for their split",
        licence="none stated for the images",
        home="github.com/fyu/lsun",
        recipe="ldm-lsun@1",
    ),
    DataSet(
        name="imagenet",
        about="ImageNet, ILSVRC2012",
        expects="train/WNID/*.JPEG and val/ (by WNID, or flat with its ground truth), Kaggle's or"
        " CompVis's folders, WNID_1.JPEG files in one folder, or a zip with dataset.json",
        tells=("classes",),
        counts={"train": 1_281_167, "validation": 50_000},
        classes=1_000,
        licence="non-commercial research and education, by agreement; no redistribution",
        home="image-net.org",
        bad=_IMAGENET_BAD,
        recipe="taming@1",
    ),
    DataSet(
        name="imagenet_small",
        about="downsampled ImageNet (arXiv:1707.08819), images of 8 to 64 pixels",
        expects="a folder with train_data_batch_1 to 10 and val_data, pickles or .npz",
        tells=("classes",),
        counts={"train": 1_281_167, "validation": 50_000},
        classes=1_000,
        licence="non-commercial research and education, by agreement; no redistribution",
        home="image-net.org/download-images.php",
    ),
    DataSet(
        name="cifar10",
        about="CIFAR-10, images of 32 pixels; validation is its test split",
        expects="cifar-10-batches-py, or images named plane_00000.png",
        tells=("classes",),
        counts={"train": 50_000, "validation": 10_000},
        classes=10,
        home="www.cs.toronto.edu/~kriz/cifar.html",
    ),
    DataSet(
        name="coco",
        about="MS-COCO of 2014 or 2017",
        expects="train2017/, val2017/ (or 2014) and annotations/; stuffthingmaps_trainval2017/ for"
        " maps; dataset_coco.json for Karpathy's split",
        tells=("captions", "boxes", "masks"),
        captions="annotations/captions_train{year}.json and captions_val{year}.json",
        counts={"train": 118_287, "validation": 5_000},
        classes=171,
        licence="annotations CC BY 4.0, photos by terms of their own",
        home="cocodataset.org; maps: github.com/nightrome/cocostuff",
    ),
    DataSet(
        name="openimages",
        about="Open Images V6",
        expects="train/, validation/ and test/ of images, *-annotations-bbox.csv and"
        " class-descriptions-boxable.csv; or FiftyOne's folders",
        tells=("boxes",),
        counts={"train": 1_743_042, "validation": 41_620, "test": 125_436},
        classes=601,
        licence="annotations CC BY 4.0, images listed as CC BY 2.0",
        home="storage.googleapis.com/openimages/web",
    ),
    DataSet(
        name="places365",
        about="Places365-Standard",
        expects="data_large/ or data_256/ with val_large/ or val_256/, or train/CATEGORY and"
        " val/CATEGORY; with categories_places365.txt and places365_val.txt",
        tells=("classes",),
        counts={"train": 1_803_460, "validation": 36_500, "test": 328_500},
        classes=365,
        licence="terms of its page: research",
        home="places2.csail.mit.edu",
        recipe="lama@1",
    ),
    DataSet(
        name="ade20k",
        about="ADE20K of the scene parsing challenge",
        expects="ADEChallengeData2016: images/, annotations/, sceneCategories.txt",
        tells=("classes", "masks"),
        counts={"train": 20_210, "validation": 2_000},
        classes=150,
        licence="terms of its page: research",
        home="github.com/CSAILVision/sceneparsing",
        recipe="taming@1",
    ),
    DataSet(
        name="landscapes",
        about="images with maps of COCO-Stuff's classes, as taming-transformers' S-FLCKR; the"
        " paper's own images are not published",
        expects="a.jpg with a.png beside it, or images/ and segmentations/; lists train.txt and"
        " validation.txt, or train/ and val/",
        tells=("masks",),
        classes=182,
        licence="of your own images",
        recipe="taming@1",
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
