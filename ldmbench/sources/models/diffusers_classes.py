"""The pipelines and classes of diffusers that load, in tables; no torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "CROSSED",
    "DENOISERS",
    "DIT",
    "ELSEWHERE",
    "FIRST_STAGES",
    "MODULATED",
    "PARTS",
    "PIPELINES",
    "RENAMED",
    "SET_BY_PIPELINE",
    "TEXTS",
    "UNJOINED",
    "StageClass",
]

StageKind = Literal["kl", "vq", "tiny", "ae"]

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
UNJOINED = ("DDIMPipeline", "DDPMPipeline", "DiTPipeline", "LDMPipeline", "PNDMPipeline")
"""Which join nothing to latents."""
RENAMED = {
    "LatentDiffusionPipeline": "LDMTextToImagePipeline",
    "LatentDiffusionUncondPipeline": "LDMPipeline",
}


class StageClass(NamedTuple):
    """A class of first stages.

    Attributes:
        path: where it is.
        kind: of its latents: kl, vq, tiny, ae (neither posterior nor codes).
        adapter: a row of STAGES in models/first_stage.py.
        channels: the field with the channels of its latents, and the class's own default.
        levels: the field with one entry for each level of its encoder, and how many by default.
    """

    path: str
    kind: StageKind
    adapter: str
    channels: tuple[str, int]
    levels: tuple[str, int]


_BLOCKS, _LATENT = "block_out_channels", "latent_channels"
FIRST_STAGES = {
    "AutoencoderDC": StageClass(
        "diffusers:AutoencoderDC", "ae", "ae", (_LATENT, 32), (f"encoder_{_BLOCKS}", 6)
    ),
    "AutoencoderKL": StageClass("diffusers:AutoencoderKL", "kl", "kl", (_LATENT, 4), (_BLOCKS, 1)),
    "AutoencoderKLFlux2": StageClass(
        "diffusers:AutoencoderKLFlux2", "kl", "kl", (_LATENT, 32), (_BLOCKS, 4)
    ),
    "AutoencoderKLQwenImage": StageClass(
        "diffusers:AutoencoderKLQwenImage", "kl", "frames", ("z_dim", 16), ("dim_mult", 4)
    ),
    "AutoencoderRAE": StageClass(
        "diffusers:AutoencoderRAE", "ae", "rae", ("encoder_hidden_size", 768), ("patch_size", 1)
    ),
    "AutoencoderTiny": StageClass(
        "diffusers:AutoencoderTiny", "tiny", "tiny", (_LATENT, 4), (f"encoder_{_BLOCKS}", 4)
    ),
    "ProjectedAutoencoderKL": StageClass(
        f"{_OWN}:ProjectedAutoencoderKL", "kl", "kl", ("embed_dim", 4), (_BLOCKS, 1)
    ),
    "VQModel": StageClass("diffusers:VQModel", "vq", "vq", ("vq_embed_dim", 3), (_BLOCKS, 1)),
    "VariantVQModel": StageClass(
        f"{_OWN}:VariantVQModel", "vq", "vq", ("vq_embed_dim", 3), (_BLOCKS, 1)
    ),
}
DIT = "diffusers:DiTTransformer2DModel"
CROSSED = ("UNet2DConditionModel", "ResampledUNet2DConditionModel")
MODULATED = "ldmbench.models.originals.network:ModulatedTransformer2DModel"
"""The transformer of DiT, SiT, REPA and LightningDiT."""
DENOISERS = {
    "ModulatedTransformer2DModel": MODULATED,
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
