"""The pipelines and classes of diffusers that load, in tables; no torch."""

from __future__ import annotations

__all__ = [
    "CROSSED",
    "DENOISERS",
    "DIT",
    "ELSEWHERE",
    "FIRST_STAGES",
    "PARTS",
    "PIPELINES",
    "RENAMED",
    "SET_BY_PIPELINE",
    "TEXTS",
]

ELSEWHERE = (
    "to measure it all the same, sample it yourself: `kind: call` takes a function of yours, and"
    " `ldmbench score` takes a folder of images"
)
"""What would work for a model that no table has."""
_OWN = "ldmbench.models.compvis.networks"
_LDM, _SD, _UPSCALER = 1.0, 0.18215, 0.08333
PIPELINES: dict[str, float | None] = {  # -> the scale that it took before configs stated one
    "DDIMPipeline": _LDM,
    "DDPMPipeline": _LDM,
    "DiTPipeline": _SD,
    "DiffusionPipeline": None,
    "LDMPipeline": _LDM,
    "LDMSuperResolutionPipeline": _LDM,
    "LDMTextToImagePipeline": _SD,
    "PNDMPipeline": _LDM,
    "StableDiffusionImg2ImgPipeline": _SD,
    "StableDiffusionInpaintPipeline": _SD,
    "StableDiffusionInpaintPipelineLegacy": _SD,
    "StableDiffusionPipeline": _SD,
    "StableDiffusionPipelineSafe": _SD,
    "StableDiffusionUpscalePipeline": _UPSCALER,
}
SET_BY_PIPELINE = ("LDMSuperResolutionPipeline", "StableDiffusionUpscalePipeline")
"""Which scale as above whatever the first stage's config says."""
RENAMED = {
    "LatentDiffusionPipeline": "LDMTextToImagePipeline",
    "LatentDiffusionUncondPipeline": "LDMPipeline",
}
FIRST_STAGES: dict[str, tuple[str, str]] = {  # -> class, kind
    "AutoencoderKL": ("diffusers:AutoencoderKL", "kl"),
    "AutoencoderTiny": ("diffusers:AutoencoderTiny", "tiny"),
    "ProjectedAutoencoderKL": (f"{_OWN}:ProjectedAutoencoderKL", "kl"),
    "VQModel": ("diffusers:VQModel", "vq"),
    "VariantVQModel": (f"{_OWN}:VariantVQModel", "vq"),
}
DIT = "diffusers:DiTTransformer2DModel"
CROSSED = ("UNet2DConditionModel", "ResampledUNet2DConditionModel")
DENOISERS = {
    "DiTTransformer2DModel": DIT,
    "HeadsUNet2DModel": f"{_OWN}:HeadsUNet2DModel",
    "ResampledUNet2DConditionModel": f"{_OWN}:ResampledUNet2DConditionModel",
    "Transformer2DModel": DIT,
    "UNet2DConditionModel": "diffusers:UNet2DConditionModel",
    "UNet2DModel": "diffusers:UNet2DModel",
}
PARTS = {
    "CaptionEncoder": "ldmbench.models.conditioner:CaptionEncoder",
    "ClassEmbedder": f"{_OWN}:ClassEmbedder",
    "SpatialRescaler": f"{_OWN}:SpatialRescaler",
}
TEXTS = (
    "LDMBertModel",
    "ldmbert",
    "CLIPTextModel",
    "clip_text_model",
    "T5EncoderModel",
    "BertModel",
)
