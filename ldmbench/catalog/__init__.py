"""What a suite may name: every dataset, model, sampler, extractor, metric, probe, protocol."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A name's code or noun, as "module:attribute", and what it is."""

    target: str
    summary: str


# fmt: off
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
