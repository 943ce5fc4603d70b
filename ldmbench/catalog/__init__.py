"""What a suite may name: every dataset, model, sampler, extractor, metric, probe, protocol."""

from __future__ import annotations

from typing import NamedTuple

from ldmbench.catalog.measures import PROBES as PROBES
from ldmbench.catalog.metrics import METRICS as METRICS
from ldmbench.schema.weights import EXTRACTORS as SPECS


class Row(NamedTuple):
    """A name's code or noun, as "module:attribute", and what it is."""

    target: str
    about: str


# fmt: off
DATASETS = {
    "shapes": Row("ldmbench.schema.data:ShapesData", "procedural scenes with captions, classes, boxes and masks; needs nothing"),
    "folder": Row("ldmbench.schema.data:FolderData", "a folder, zip or ADM-style .npz of images; captions from .txt or captions.jsonl"),
    "call":   Row("ldmbench.schema.data:CallData",   "your own code, module:name or an entry point (docs/extending.md)"),
}
FINGERPRINTS = {
    "folder":    "ldmbench.sources.digests:source_digest",
    "load":      "ldmbench.sources.models.peek:model_digest",
    "tokenizer": "ldmbench.sources.models.peek:tokenizer_digest",
    "call":      "ldmbench.sources.digests:plugin_digest",
}
COUNTS = {
    "folder": "ldmbench.sources.images.splits:count_split",
}
FACTS = {
    "load": "ldmbench.sources.models.peek:peek",
    "hub":  "ldmbench.sources.models.places:fetch",
    "shapes": "ldmbench.sources.shapes:shapes_facts",
    "folder": "ldmbench.sources.images.facts:folder_facts",
}
TOLD = {
    "folder": "ldmbench.sources.images.told:folder_told",
}
READS = "ldmbench.sources.tokens:read"
WEIGHTS = {
    "list": "ldmbench.sources.evaluators:list_weights",
    "verify": "ldmbench.sources.evaluators:verify_weights",
    "import": "ldmbench.sources.evaluators:import_weights",
    "path": "ldmbench.sources.evaluators:weights_path",
}
INSPECTIONS = {
    "folder": "ldmbench.sources.images.inspection:inspect_images",
}
REMARKS = {
    "folder": "ldmbench.sources.images.inspection:remarks_on",
}
CHECKS = {
    "folder": "ldmbench.sources.images.inspection:check_images",
}
PROMPTS = "ldmbench.sources.images.rows:read_prompts"
MOMENTS = "ldmbench.metrics.moments:moments"
COVARIANCE = "ldmbench.metrics.moments:why_no_covariance"
FIDELITY = "ldmbench.features.statistics:read_fidelity"
MODELS = {
    "ldm":  Row("ldmbench.schema.models:LdmModel",  "trained here: autoencoder (f = 1: none) and diffusion UNet"),
    "load": Row("ldmbench.schema.models:LoadModel", "from disk: a diffusers folder, a CompVis or guided-diffusion checkpoint"),
    "call": Row("ldmbench.schema.models:CallModel", "your own code, module:name or an entry point (docs/extending.md)"),
}
SAMPLERS = {
    "ddim":  Row("ldmbench.sample.solvers:sample", "DDIM, eta from 0 (deterministic) to 1 (arXiv:2010.02502)"),
    "ddpm":  Row("ldmbench.sample.solvers:sample", "ancestral sampling (arXiv:2006.11239)"),
    "dpm++": Row("ldmbench.sample.solvers:sample", "DPM-Solver++ 2M (arXiv:2211.01095)"),
    "unipc": Row("ldmbench.sample.solvers:sample", "UniPC (arXiv:2302.04867)"),
    "pndm":  Row("ldmbench.sample.solvers:sample", "PNDM / PLMS (arXiv:2202.09778)"),
    "euler": Row("ldmbench.sample.solvers:sample", "Euler steps of the probability-flow ODE (arXiv:2206.00364)"),
    "heun":  Row("ldmbench.sample.solvers:sample", "Heun's second-order steps (arXiv:2206.00364)"),
}
EXTRACTORS = {
    spec.name: Row("ldmbench.features.extractor:load_extractor", f"{spec.dim} features; {spec.note}") for spec in SPECS
}
PROTOCOLS = {
    "shapes-v1": Row("ldmbench.schema.protocols:SHAPES_V1", "embedded evaluators on `shapes`"),
    "ldm-2112.10752":        Row("ldmbench.schema.protocols_ldm:LDM", "LDM, Tables 1, 10: 50k against the whole training set; torch-fidelity's Inception"),
    "ldm-compression-study": Row("ldmbench.schema.protocols_ldm:COMPRESSION_STUDY", "LDM, Figures 6, 7, 17: 5k samples, DDIM 10 to 200 steps"),
    "adm-2105.05233":        Row("ldmbench.schema.protocols:ADM", "guided-diffusion's evaluator: IS in file order, 10k images for precision and recall"),
    "torch-fidelity":        Row("ldmbench.schema.protocols:TORCH_FIDELITY", "torch-fidelity's defaults on whatever is given, but precision and recall on Inception, not VGG16"),
    "clean-fid":             Row("ldmbench.schema.protocols:CLEAN_FID", "clean-fid's mode clean: antialiased resizing in float (arXiv:2104.11222)"),
    "coco-30k":              Row("ldmbench.schema.protocols_ldm:COCO_30K", "text to image: 30k captions of MS-COCO's validation set at 256"),
    "edm2":                  Row("ldmbench.schema.protocols:EDM2", "EDM2: 50k against ImageNet's whole training set (arXiv:2312.02696)"),
}
# fmt: on
