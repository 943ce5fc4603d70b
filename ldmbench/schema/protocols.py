"""Published protocols: guided-diffusion, torch-fidelity, clean-fid, EDM2; and the embedded one."""

from __future__ import annotations

from ldmbench.schema.protocol import Protocol, SamplingRule

ADM_CODE = "github.com/openai/guided-diffusion at 22e0df8"
TF_CODE = "github.com/toshas/torch-fidelity at 5e211a9"
CLEAN_CODE = "github.com/GaParmar/clean-fid at e88c4d6"
EDM2_CODE = "github.com/NVlabs/edm2 at 32ecad3"
OWN = "a choice of ldmbench: the source does not say"

FIDELITY = {
    "extractor": f"{TF_CODE}, metric_fid.py, utils.py; there precision and recall alone are on"
    " VGG16 unless feature_extractor='inception-v3-compat' is passed",
    "k": f"{TF_CODE}, defaults.py: prc_neighborhood 3",
    "rule": f"{TF_CODE}, metric_prc.py: a distance equal to the radius counts",
    "kid_subsets": f"{TF_CODE}, defaults.py: kid_subsets 100",
    "kid_subset_size": f"{TF_CODE}, defaults.py: kid_subset_size 1000",
    "splits": f"{TF_CODE}, defaults.py: isc_splits 10",
    "shuffle_seed": f"{TF_CODE}, defaults.py: samples_shuffle, rng_seed 2020",
}

SHAPES_V1 = Protocol(
    name="shapes-v1", source="ldmbench docs/evaluators.md", reference_split="reference"
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
    source=f"arXiv:2105.05233; {ADM_CODE}, evaluations/",
    cited={
        "extractor": f"{ADM_CODE}, evaluations/evaluator.py: pool_3 of the TensorFlow graph, here"
        " its port in torch-fidelity",
        "k": f"{ADM_CODE}, evaluations/evaluator.py: nhood_sizes (3,)",
        "rule": f"{ADM_CODE}, evaluations/evaluator.py: a distance equal to the radius counts",
        "splits": f"{ADM_CODE}, evaluations/evaluator.py: split_size 5000, ten splits of 50,000",
        "shuffle_seed": f"{ADM_CODE}, evaluations/evaluator.py: in the order of the file",
        "count": f"{ADM_CODE}, evaluations/README.md: 50,000 samples",
        "reference_split": f"{ADM_CODE}, evaluations/README.md: mu, sigma over the whole dataset",
        "reference_count": f"{ADM_CODE}, evaluations/README.md: all",
        "neighbour_count": f"{ADM_CODE}, evaluations/README.md: the 10,000 images in the batch",
        "crop": f"{ADM_CODE}, guided_diffusion/image_datasets.py: halved by BOX, then BICUBIC,"
        " center",
        "resize": "part of the crop rule `adm`",
        "quantize": f"{ADM_CODE}, scripts/image_sample.py: clamped, then cast to uint8",
        "classes": f"{ADM_CODE}, scripts/image_sample.py: randint",
        "timesteps": f"{ADM_CODE}, guided_diffusion/respace.py: even spacing, both ends included;"
        " 'ddimN' uses an integer stride instead",
        "kid_subsets": OWN,
        "kid_subset_size": OWN,
        "clip": OWN,
    },
    sampling=(
        SamplingRule(
            dataset="imagenet-256 (ADM-G + ADM-U)",
            sampler="ddpm",
            steps=(250,),
            reference_count=1_281_167,
            crop="adm",
            note="the released batch must give FID 3.94256, IS 215.8370, P 0.8265, R 0.5309",
            source=f"{ADM_CODE}, evaluations/README.md",
        ),
    ),
)

TORCH_FIDELITY = Protocol(
    name="torch-fidelity",
    extractor="inception-v3-compat",
    clip="clip-vit-b-32",
    crop="none",
    source=TF_CODE,
    cited={
        **FIDELITY,
        "count": "whatever is given",
        "reference_split": "whatever is given",
        "reference_count": "whatever is given",
        "crop": f"{TF_CODE}, defaults.py: samples_resize_and_crop 0",
        "resize": "none before the network's own",
        "quantize": f"{TF_CODE}: takes uint8 images",
        "classes": "whatever is given",
        "timesteps": "whatever is given",
        "clip": OWN,
    },
)

CLEAN_FID = Protocol(
    name="clean-fid",
    extractor="inception-v3-clean",
    clip="clip-vit-b-32",
    crop="none",
    source=f"arXiv:2104.11222; {CLEAN_CODE}",
    cited={
        "extractor": f"{CLEAN_CODE}, cleanfid/features.py, resize.py: PIL bicubic in float, to 299",
        "kid_subsets": f"{CLEAN_CODE}, cleanfid/fid.py: num_subsets 100",
        "kid_subset_size": f"{CLEAN_CODE}, cleanfid/fid.py: max_subset_size 1000",
        "k": OWN,
        "rule": OWN,
        "splits": OWN,
        "shuffle_seed": OWN,
        "count": f"{CLEAN_CODE} README: 50,000 for generators",
        "reference_split": f"{CLEAN_CODE} README: named by the statistics, such as trainfull",
        "reference_count": "all of the split",
        "crop": f"{CLEAN_CODE}, cleanfid/fid.py: none",
        "resize": "none before the network's own",
        "quantize": f"{CLEAN_CODE} README: takes 8-bit images, PNG rather than JPEG",
        "classes": "whatever is given",
        "timesteps": "whatever is given",
        "clip": OWN,
    },
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
    source=f"arXiv:2312.02696; {EDM2_CODE}",
    cited={
        "extractor": f"{EDM2_CODE}, calculate_metrics.py: inception-2015-12-05, here as"
        " torch-fidelity loads it; its DINOv2 is ViT-L/14, which ldmbench does not have",
        "k": OWN,
        "rule": OWN,
        "splits": OWN,
        "shuffle_seed": OWN,
        "kid_subsets": OWN,
        "kid_subset_size": OWN,
        "count": f"{EDM2_CODE}, calculate_metrics.py: --num 50000",
        "reference_split": f"{EDM2_CODE}, calculate_metrics.py: statistics of the training set",
        "reference_count": "all of ImageNet's training set",
        "crop": f"{EDM2_CODE}, dataset_tool.py: center-crop-dhariwal",
        "resize": "part of the crop rule `adm`",
        "quantize": f"{EDM2_CODE}, training/encoders.py: latent models clamp, then cast to uint8;"
        " pixel models add half a level first, which rounds",
        "classes": f"{EDM2_CODE}, generate_images.py: random labels from the seed",
        "timesteps": "the model's own noise levels (arXiv:2206.00364, equation 5)",
        "clip": OWN,
    },
    sampling=(
        SamplingRule(
            dataset="imagenet-512",
            sampler="heun",
            steps=(32,),
            reference_count=1_281_167,
            crop="adm",
            note="guidance per preset",
            source=f"{EDM2_CODE}, generate_images.py",
        ),
    ),
)
