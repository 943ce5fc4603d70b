"""Published protocols of arXiv:2112.10752: its tables, its compression study, text to image."""

from __future__ import annotations

from ldmbench.schema.protocol import NOT_STATED, Protocol, SamplingRule
from ldmbench.schema.protocols import ADM_CODE, FIDELITY, OWN

PAPER = "arXiv:2112.10752v2"
LDM_CODE = "github.com/CompVis/latent-diffusion at a506df5"
TAMING = "github.com/CompVis/taming-transformers at 3ba01b2"
SAMPLE = f"{LDM_CODE}, scripts/sample_diffusion.py"

_LDM_METRICS = {
    **FIDELITY,
    "extractor": f"{PAPER} E.3.1 (torch-fidelity); {LDM_CODE}, environment.yaml pins 0.3.0",
    "k": f"{PAPER} E.3.1 (the script of arXiv:2105.05233); {ADM_CODE}, evaluations/evaluator.py",
    "rule": f"{ADM_CODE}, evaluations/evaluator.py: a distance equal to the radius counts",
    "quantize": f"{SAMPLE}: clamped, then cast to uint8",
    "timesteps": f"{LDM_CODE}, ldm/modules/diffusionmodules/util.py: stride 1000 // steps",
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
    source=f"{PAPER}, Tables 1, 3, 10, 18 and appendix E.3; {LDM_CODE}",
    cited={
        **_LDM_METRICS,
        "count": f"{PAPER} E.3.1: 50k samples; {SAMPLE}: n_samples 50000",
        "reference_split": f"{PAPER} E.3.1: the entire training set of each dataset",
        "reference_count": "all of the split; file lists per dataset under `sampling`",
        "neighbour_count": f"{ADM_CODE}, evaluations/README.md: 10,000 images in a reference batch;"
        " not stated for CelebA-HQ, FFHQ and LSUN-Churches",
        "crop": "per dataset, under `sampling`",
        "resize": "per dataset, under `sampling`",
        "classes": "not stated in the paper; issue 262 of CompVis/latent-diffusion matches the"
        " printed figures with exactly 50 images of each class",
        "clip": OWN,
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
            source=f"{PAPER} Tables 1, 18, Figure 28; {LDM_CODE} README; {TAMING}",
        ),
        SamplingRule(
            dataset="ffhq-256",
            steps=(200,),
            eta=1.0,
            reference_count=60_000,
            crop="shortest",
            resize="linear",
            note="the interpolation is the library's default, unconfirmed",
            source=f"{PAPER} Table 1, Figure 29; {LDM_CODE} README; {TAMING}",
        ),
        SamplingRule(
            dataset="lsun-churches-256",
            steps=(200,),
            eta=0.0,
            crop="lsun",
            resize="pil-bicubic",
            note="Table 18 prints 100 steps; README 400, which the stride rule turns into 500",
            source=f"{PAPER} Tables 1, 18, Figure 30; {LDM_CODE} README, ldm/data/lsun.py",
        ),
        SamplingRule(
            dataset="lsun-bedrooms-256",
            steps=(200,),
            eta=1.0,
            crop="lsun",
            resize="pil-bicubic",
            note="Table 1; the ADM script gives 3.0 where torch-fidelity gives 2.95",
            source=f"{PAPER} Table 1, E.3.1, Figure 31; {LDM_CODE} README, ldm/data/lsun.py",
        ),
        SamplingRule(
            dataset="imagenet-256 (LDM-8, LDM-8-G)",
            steps=(200,),
            eta=1.0,
            reference_count=1_281_167,
            note="LDM-8-G with classifier scale 10; null class 1000",
            source=f"{PAPER} Table 10; {LDM_CODE} README, ldm/data/imagenet.py",
        ),
        SamplingRule(
            dataset="imagenet-256 (LDM-4-G)",
            steps=(250,),
            guidance=1.5,
            reference_count=1_281_167,
            note="also scale 1.25; eta not stated, 1 matches (issue 262 of latent-diffusion)",
            source=f"{PAPER} Table 10; {LDM_CODE}, ldm/data/imagenet.py",
        ),
        SamplingRule(
            dataset="mscoco-256 (text-to-image)",
            steps=(250,),
            guidance=1.5,
            reference_split="validation",
            reference_count=30_000,
            note="eta, choice of captions, crop and resize are not stated",
            source=f"{PAPER} Table 2, E.3.2",
        ),
        SamplingRule(
            dataset="openimages-256 (layout)",
            steps=(200,),
            eta=0.0,
            reference_split="validation",
            reference_count=2_048,
            crop="center",
            note="2,048 samples against 2,048 center-cropped test images",
            source=f"{PAPER} Table 9, E.3.3; {LDM_CODE} README",
        ),
        SamplingRule(
            dataset="coco-256 (layout)",
            steps=(200,),
            reference_split="COCO Segmentation Challenge",
            reference_count=2_048,
            note="steps read from the OpenImages model; eta not stated",
            source=f"{PAPER} Table 9, E.3.3",
        ),
        SamplingRule(
            dataset="imagenet-sr 64 to 256",
            steps=(100,),
            reference_split="validation",
            note="also against train; short sides below 256 are left out; 50 steps when guided",
            source=f"{PAPER} Tables 5, 11, E.3.4",
        ),
        SamplingRule(
            dataset="places-512 (inpainting)",
            steps=(50,),
            eta=0.0,
            reference_split="test",
            reference_count=30_000,
            note="steps and eta are the script's defaults; masks as LaMa",
            source=f"{PAPER} Table 7, E.2.2; {LDM_CODE}, scripts/inpaint.py",
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
    source=f"{PAPER}, section 4.1, Figures 6, 7, 17 and E.3.5",
    cited={
        **_LDM_METRICS,
        "count": f"{PAPER} E.3.5, captions of Figures 7 and 17: 5k samples",
        "reference_split": f"{PAPER} E.3.5 does not restate it; results differ from Tables 1, 10",
        "reference_count": "not stated",
        "crop": "not stated",
        "resize": "not stated",
        "classes": "not stated",
        "clip": OWN,
    },
    sampling=(
        SamplingRule(
            dataset="imagenet-256 (Figures 6, 17)",
            steps=(100,),
            eta=0.0,
            reference_split=NOT_STATED,
            note="printed as kappa = 0, read as eta",
            source=f"{PAPER} Figures 6, 17",
        ),
        SamplingRule(
            dataset="celebahq-256, imagenet-256 (Figure 7)",
            steps=(10, 20, 50, 100, 200),
            reference_split=NOT_STATED,
            note="after 500k (CelebA-HQ) and 2M (ImageNet) training steps; eta not stated",
            source=f"{PAPER} Figure 7",
        ),
    ),
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
    source=f"{PAPER} Table 2 and E.3.2, after arXiv:2102.12092; {LDM_CODE}",
    cited={
        **_LDM_METRICS,
        "extractor": f"{PAPER} E.3.2: torch-fidelity for FID and inception score",
        "count": f"{PAPER} E.3.2; the count of generated images is not stated apart",
        "reference_split": f"{PAPER} E.3.2: 30,000 samples of the validation set of MS-COCO;"
        " issue 88 of CompVis/latent-diffusion gets 12.79 against train, 19.11 against validation",
        "reference_count": f"{PAPER} E.3.2",
        "resolution": f"{PAPER} section 4.3.1: 256",
        "crop": f"{OWN} (center)",
        "resize": f"{OWN} (pil-bicubic)",
        "classes": "prompted by captions; which caption of an image is not stated",
        "clip": OWN,
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
            source=f"{PAPER} Table 2, E.3.2; {LDM_CODE}, scripts/txt2img.py",
        ),
    ),
)
