"""Protocols: named, versioned evaluation recipes, as data; every field says where it was read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmbench.schema.base import Noun, Positive
from ldmbench.schema.data import Resize
from ldmbench.schema.sample import TimestepRule

Crop = Literal["center", "shortest", "lsun", "adm", "none"]
Quantize = Literal["round", "truncate"]
NOT_STATED = "not stated"


class SamplingRule(Noun):
    """How one dataset's samples were drawn; None where the source does not say."""

    dataset: str
    sampler: str = "ddim"
    steps: tuple[int, ...] = Field(description="as printed; several where a figure sweeps them")
    eta: float | None = None
    guidance: float | None = Field(default=None, description="classifier-free scale; null: none")
    reference_split: str = "train"
    reference_count: int | None = None
    crop: Crop | None = None
    resize: Resize | None = None
    note: str = ""
    source: str


class Protocol(Noun):
    """How numbers are made: everything a signature says that is not a digest or a count."""

    name: str
    extractor: str = Field(default="shapes-net", description="features for fid, kid, precision ...")
    clip: str = Field(default="shapes-clip", description="the open_clip model of clip_score")
    k: Annotated[int, Positive] = Field(default=3, description="neighbour of precision, recall")
    k_density: Annotated[int, Positive] = Field(
        default=5, description="neighbour of density, coverage"
    )
    rule: Literal["le", "lt"] = Field(default="le", description="precision, recall: <= or < radius")
    kid_subsets: Annotated[int, Positive] = 100
    kid_subset_size: Annotated[int, Positive] = 1000
    splits: Annotated[int, Positive] = Field(
        default=10, description="splits of the inception score"
    )
    shuffle_seed: int | None = Field(default=2020, description="order of the splits; null keeps it")
    precision: Literal["float32", "bfloat16"] = "float32"
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    count: int | None = Field(default=None, description="n; null leaves it to the suite")
    reference_split: str = Field(default=NOT_STATED, description="which images are the reference")
    reference_count: int | None = Field(default=None, description="m; null: all of the split")
    neighbour_count: int | None = Field(
        default=None, description="reference images of precision and recall, if not all"
    )
    resolution: int | None = Field(default=None, description="pixels; null: the dataset's")
    crop: Crop | None = Field(default=None, description="of reference images; null: not stated")
    resize: Resize | None = Field(default=None, description="of reference images; null: not stated")
    quantize: Quantize | None = Field(default=None, description="samples to uint8")
    classes: Literal["none", "balanced", "random", "not stated"] = Field(
        default="none", description="labels of class-conditional samples"
    )
    timesteps: TimestepRule | None = Field(default=None, description="null: the model's own")
    sampling: tuple[SamplingRule, ...] = Field(default=(), description="per dataset")
    source: str = Field(default="", description="where the recipe was read")
    cited: dict[str, str] = Field(default={}, description="field -> where it was read")


PINNED = (
    "extractor",
    "k",
    "rule",
    "splits",
    "shuffle_seed",
    "count",
    "reference_split",
    "reference_count",
    "crop",
    "resize",
    "quantize",
    "classes",
    "timesteps",
)
"""Fields for which every published protocol says where they were read."""

_PAPER = "arXiv:2112.10752v2"
_LDM = "github.com/CompVis/latent-diffusion at a506df5"
_ADM = "github.com/openai/guided-diffusion at 22e0df8"
_TF = "github.com/toshas/torch-fidelity at 5e211a9"
_CLEAN = "github.com/GaParmar/clean-fid at e88c4d6"
_EDM2 = "github.com/NVlabs/edm2 at 32ecad3"
_TAMING = "github.com/CompVis/taming-transformers at 3ba01b2"
_SAMPLE = f"{_LDM}, scripts/sample_diffusion.py"
_OWN = "a choice of ldmbench: the source does not say"

SHAPES_V1 = Protocol(
    name="shapes-v1", source="ldmbench docs/evaluators.md", reference_split="reference"
)

_FIDELITY = {
    "extractor": f"{_TF}, defaults.py and metric_fid.py",
    "k": f"{_TF}, defaults.py: prc_neighborhood 3",
    "rule": f"{_TF}, metric_prc.py: a distance equal to the radius counts",
    "kid_subsets": f"{_TF}, defaults.py: kid_subsets 100",
    "kid_subset_size": f"{_TF}, defaults.py: kid_subset_size 1000",
    "splits": f"{_TF}, defaults.py: isc_splits 10",
    "shuffle_seed": f"{_TF}, defaults.py: samples_shuffle, rng_seed 2020",
}
_LDM_METRICS = {
    **_FIDELITY,
    "extractor": f"{_PAPER} E.3.1 (torch-fidelity); {_LDM}, environment.yaml pins 0.3.0",
    "k": f"{_PAPER} E.3.1 (the script of arXiv:2105.05233); {_ADM}, evaluations/evaluator.py",
    "rule": f"{_ADM}, evaluations/evaluator.py: a distance equal to the radius counts",
    "quantize": f"{_SAMPLE}: clamped, then cast to uint8",
    "timesteps": f"{_LDM}, ldm/modules/diffusionmodules/util.py: stride 1000 // steps",
}

LDM = Protocol(
    name="ldm-2112.10752",
    extractor="inception-v3-compat",
    clip="clip-vit-b-32",
    count=50_000,
    reference_split="train",
    neighbour_count=10_000,
    quantize="truncate",
    classes="not stated",
    timesteps="compvis",
    source=f"{_PAPER}, Tables 1, 3, 10, 18 and appendix E.3; {_LDM}",
    cited={
        **_LDM_METRICS,
        "count": f"{_PAPER} E.3.1: 50k samples; {_SAMPLE}: n_samples 50000",
        "reference_split": f"{_PAPER} E.3.1: the entire training set of each dataset",
        "reference_count": "all of the split; file lists per dataset under `sampling`",
        "neighbour_count": f"{_ADM}, evaluations/README.md: 10,000 images in a reference batch;"
        " not stated for CelebA-HQ, FFHQ and LSUN-Churches",
        "crop": "per dataset, under `sampling`",
        "resize": "per dataset, under `sampling`",
        "classes": "not stated in the paper; issue 262 of CompVis/latent-diffusion matches the"
        " printed figures with exactly 50 images of each class",
        "clip": _OWN,
    },
    sampling=(
        SamplingRule(
            dataset="celebahq-256",
            steps=(500,),
            eta=0.0,
            reference_count=25_000,
            crop="shortest",
            resize="linear",
            note="README: 200 steps, eta 0; interpolation is the library's default, unconfirmed",
            source=f"{_PAPER} Tables 1, 18, Figure 28; {_LDM} README; {_TAMING}",
        ),
        SamplingRule(
            dataset="ffhq-256",
            steps=(200,),
            eta=1.0,
            reference_count=60_000,
            crop="shortest",
            resize="linear",
            note="the interpolation is the library's default, unconfirmed",
            source=f"{_PAPER} Table 1, Figure 29; {_LDM} README; {_TAMING}",
        ),
        SamplingRule(
            dataset="lsun-churches-256",
            steps=(200,),
            eta=0.0,
            crop="lsun",
            resize="pil-bicubic",
            note="Table 18 prints 100 steps; README 400, which the stride rule turns into 500",
            source=f"{_PAPER} Tables 1, 18, Figure 30; {_LDM} README, ldm/data/lsun.py",
        ),
        SamplingRule(
            dataset="lsun-bedrooms-256",
            steps=(200,),
            eta=1.0,
            crop="lsun",
            resize="pil-bicubic",
            note="Table 1; the ADM script gives 3.0 where torch-fidelity gives 2.95",
            source=f"{_PAPER} Table 1, E.3.1, Figure 31; {_LDM} README, ldm/data/lsun.py",
        ),
        SamplingRule(
            dataset="imagenet-256 (LDM-8, LDM-8-G)",
            steps=(200,),
            eta=1.0,
            reference_count=1_281_167,
            note="LDM-8-G with classifier scale 10; null class 1000",
            source=f"{_PAPER} Table 10; {_LDM} README, ldm/data/imagenet.py",
        ),
        SamplingRule(
            dataset="imagenet-256 (LDM-4-G)",
            steps=(250,),
            guidance=1.5,
            reference_count=1_281_167,
            note="also scale 1.25; eta not stated, 1 matches (issue 262 of latent-diffusion)",
            source=f"{_PAPER} Table 10; {_LDM}, ldm/data/imagenet.py",
        ),
        SamplingRule(
            dataset="mscoco-256 (text-to-image)",
            steps=(250,),
            guidance=1.5,
            reference_split="validation",
            reference_count=30_000,
            note="eta, choice of captions, crop and resize are not stated",
            source=f"{_PAPER} Table 2, E.3.2",
        ),
        SamplingRule(
            dataset="openimages-256 (layout)",
            steps=(200,),
            eta=0.0,
            reference_split="validation",
            reference_count=2_048,
            crop="center",
            note="2,048 samples against 2,048 center-cropped test images",
            source=f"{_PAPER} Table 9, E.3.3; {_LDM} README",
        ),
        SamplingRule(
            dataset="coco-256 (layout)",
            steps=(200,),
            reference_split="COCO Segmentation Challenge",
            reference_count=2_048,
            note="steps read from the OpenImages model; eta not stated",
            source=f"{_PAPER} Table 9, E.3.3",
        ),
        SamplingRule(
            dataset="imagenet-sr 64 to 256",
            steps=(100,),
            reference_split="validation",
            note="also against train; short sides below 256 are left out; 50 steps when guided",
            source=f"{_PAPER} Tables 5, 11, E.3.4",
        ),
        SamplingRule(
            dataset="places-512 (inpainting)",
            steps=(50,),
            eta=0.0,
            reference_split="test",
            reference_count=30_000,
            note="steps and eta are the script's defaults; masks as LaMa",
            source=f"{_PAPER} Table 7, E.2.2; {_LDM}, scripts/inpaint.py",
        ),
    ),
)

COMPRESSION_STUDY = Protocol(
    name="ldm-compression-study",
    extractor="inception-v3-compat",
    clip="clip-vit-b-32",
    count=5_000,
    quantize="truncate",
    classes="not stated",
    timesteps="compvis",
    source=f"{_PAPER}, section 4.1, Figures 6, 7, 17 and E.3.5",
    cited={
        **_LDM_METRICS,
        "count": f"{_PAPER} E.3.5, captions of Figures 7 and 17: 5k samples",
        "reference_split": f"{_PAPER} E.3.5 does not restate it; results differ from Tables 1, 10",
        "reference_count": "not stated",
        "crop": "not stated",
        "resize": "not stated",
        "classes": "not stated",
        "clip": _OWN,
    },
    sampling=(
        SamplingRule(
            dataset="imagenet-256 (Figures 6, 17)",
            steps=(100,),
            eta=0.0,
            reference_split=NOT_STATED,
            note="printed as kappa = 0, read as eta",
            source=f"{_PAPER} Figures 6, 17",
        ),
        SamplingRule(
            dataset="celebahq-256, imagenet-256 (Figure 7)",
            steps=(10, 20, 50, 100, 200),
            reference_split=NOT_STATED,
            note="after 500k (CelebA-HQ) and 2M (ImageNet) training steps; eta not stated",
            source=f"{_PAPER} Figure 7",
        ),
    ),
)

ADM = Protocol(
    name="adm-2105.05233",
    extractor="inception-v3-compat",
    clip="clip-vit-b-32",
    count=50_000,
    reference_split="train",
    neighbour_count=10_000,
    crop="adm",
    shuffle_seed=None,
    quantize="truncate",
    classes="random",
    timesteps="linspace",
    source=f"arXiv:2105.05233; {_ADM}, evaluations/",
    cited={
        "extractor": f"{_ADM}, evaluations/evaluator.py: pool_3 of the TensorFlow graph, here its"
        " port in torch-fidelity",
        "k": f"{_ADM}, evaluations/evaluator.py: nhood_sizes (3,)",
        "rule": f"{_ADM}, evaluations/evaluator.py: a distance equal to the radius counts",
        "splits": f"{_ADM}, evaluations/evaluator.py: split_size 5000, ten splits of 50,000",
        "shuffle_seed": f"{_ADM}, evaluations/evaluator.py: in the order of the file",
        "count": f"{_ADM}, evaluations/README.md: 50,000 samples",
        "reference_split": f"{_ADM}, evaluations/README.md: mu, sigma over the whole dataset",
        "reference_count": f"{_ADM}, evaluations/README.md: all",
        "neighbour_count": f"{_ADM}, evaluations/README.md: the 10,000 images in the batch",
        "crop": f"{_ADM}, guided_diffusion/image_datasets.py: halved by BOX, then BICUBIC, center",
        "resize": "part of the crop rule `adm`",
        "quantize": f"{_ADM}, scripts/image_sample.py: clamped, then cast to uint8",
        "classes": f"{_ADM}, scripts/image_sample.py: randint",
        "timesteps": f"{_ADM}, guided_diffusion/respace.py: even spacing, both ends included;"
        " 'ddimN' uses an integer stride instead",
        "kid_subsets": _OWN,
        "kid_subset_size": _OWN,
        "clip": _OWN,
    },
    sampling=(
        SamplingRule(
            dataset="imagenet-256 (ADM-G + ADM-U)",
            sampler="ddpm",
            steps=(250,),
            reference_count=1_281_167,
            crop="adm",
            note="the released batch must give FID 3.94256, IS 215.8370, P 0.8265, R 0.5309",
            source=f"{_ADM}, evaluations/README.md",
        ),
    ),
)

TORCH_FIDELITY = Protocol(
    name="torch-fidelity",
    extractor="inception-v3-compat",
    clip="clip-vit-b-32",
    crop="none",
    source=_TF,
    cited={
        **_FIDELITY,
        "count": "whatever is given",
        "reference_split": "whatever is given",
        "reference_count": "whatever is given",
        "crop": f"{_TF}, defaults.py: samples_resize_and_crop 0",
        "resize": "none before the network's own",
        "quantize": f"{_TF}: takes uint8 images",
        "classes": "whatever is given",
        "timesteps": "whatever is given",
        "clip": _OWN,
    },
)

CLEAN_FID = Protocol(
    name="clean-fid",
    extractor="inception-v3-clean",
    clip="clip-vit-b-32",
    crop="none",
    source=f"arXiv:2104.11222; {_CLEAN}",
    cited={
        "extractor": f"{_CLEAN}, cleanfid/features.py, resize.py: PIL bicubic in float, to 299",
        "kid_subsets": f"{_CLEAN}, cleanfid/fid.py: num_subsets 100",
        "kid_subset_size": f"{_CLEAN}, cleanfid/fid.py: max_subset_size 1000",
        "k": _OWN,
        "rule": _OWN,
        "splits": _OWN,
        "shuffle_seed": _OWN,
        "count": f"{_CLEAN} README: 50,000 for generators",
        "reference_split": f"{_CLEAN} README: named by the statistics, such as trainfull",
        "reference_count": "all of the split",
        "crop": f"{_CLEAN}, cleanfid/fid.py: none",
        "resize": "none before the network's own",
        "quantize": f"{_CLEAN} README: takes 8-bit images, PNG rather than JPEG",
        "classes": "whatever is given",
        "timesteps": "whatever is given",
        "clip": _OWN,
    },
)

COCO_30K = Protocol(
    name="coco-30k",
    extractor="inception-v3-compat",
    clip="clip-vit-b-32",
    count=30_000,
    reference_split="validation",
    reference_count=30_000,
    resolution=256,
    crop="center",
    resize="pil-bicubic",
    quantize="truncate",
    timesteps="compvis",
    source=f"{_PAPER} Table 2 and E.3.2, after arXiv:2102.12092; {_LDM}",
    cited={
        **_LDM_METRICS,
        "extractor": f"{_PAPER} E.3.2: torch-fidelity for FID and inception score",
        "count": f"{_PAPER} E.3.2; the count of generated images is not stated apart",
        "reference_split": f"{_PAPER} E.3.2: 30,000 samples of the validation set of MS-COCO;"
        " issue 88 of CompVis/latent-diffusion gets 12.79 against train, 19.11 against validation",
        "reference_count": f"{_PAPER} E.3.2",
        "resolution": f"{_PAPER} section 4.3.1: 256",
        "crop": f"{_OWN} (center)",
        "resize": f"{_OWN} (pil-bicubic)",
        "classes": "prompted by captions; which caption of an image is not stated",
        "clip": _OWN,
    },
    sampling=(
        SamplingRule(
            dataset="mscoco-256",
            steps=(250,),
            guidance=1.5,
            reference_split="validation",
            reference_count=30_000,
            crop="center",
            resize="pil-bicubic",
            note="eta not stated; scripts/txt2img.py defaults to 200 steps, eta 0, scale 5",
            source=f"{_PAPER} Table 2, E.3.2; {_LDM}, scripts/txt2img.py",
        ),
    ),
)

EDM2 = Protocol(
    name="edm2",
    extractor="inception-v3-compat",
    clip="clip-vit-b-32",
    count=50_000,
    reference_split="train",
    reference_count=1_281_167,
    crop="adm",
    quantize="truncate",
    classes="random",
    source=f"arXiv:2312.02696; {_EDM2}",
    cited={
        "extractor": f"{_EDM2}, calculate_metrics.py: inception-2015-12-05, here as torch-fidelity"
        " loads it; its DINOv2 is ViT-L/14, which ldmbench does not have",
        "k": _OWN,
        "rule": _OWN,
        "splits": _OWN,
        "shuffle_seed": _OWN,
        "kid_subsets": _OWN,
        "kid_subset_size": _OWN,
        "count": f"{_EDM2}, calculate_metrics.py: --num 50000",
        "reference_split": f"{_EDM2}, calculate_metrics.py: statistics of the training set",
        "reference_count": "all of ImageNet's training set",
        "crop": f"{_EDM2}, dataset_tool.py: center-crop-dhariwal",
        "resize": "part of the crop rule `adm`",
        "quantize": f"{_EDM2}, training/encoders.py: latent models clamp, then cast to uint8;"
        " pixel models add half a level first, which rounds",
        "classes": f"{_EDM2}, generate_images.py: random labels from the seed",
        "timesteps": "the model's own noise levels (arXiv:2206.00364, equation 5)",
        "clip": _OWN,
    },
    sampling=(
        SamplingRule(
            dataset="imagenet-512",
            sampler="heun",
            steps=(32,),
            reference_count=1_281_167,
            crop="adm",
            note="guidance per preset",
            source=f"{_EDM2}, generate_images.py",
        ),
    ),
)
