"""Pipelines whose networks are known: how each reads prompts and is asked for one prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ldmbench.models.conditions import Inputs

__all__ = ["FAMILIES", "Family"]

TIMESTEPS = 1000
"""By which a flow's time is multiplied in schedulers of diffusers."""


class Family(Protocol):
    """How one family of pipelines is asked.

    Latents are (B, C, h, w); `inputs` are tensors whose rows are of the batch.
    """

    @property
    def flow(self) -> bool:
        """Tell whether its network returns a velocity."""
        ...

    @property
    def call(self) -> dict[str, Any]:
        """Return arguments of its call that differ from its defaults."""
        ...

    def read(self, pipe: object, prompts: Sequence[str], z: Tensor) -> Inputs:
        """Return the network's inputs of B prompts."""
        ...

    def ask(self, pipe: object, z: Tensor, t: Tensor, inputs: Inputs, guidance: float) -> Tensor:
        """Return what the network predicts, (B, C or 2C, h, w), at timesteps t (B,)."""
        ...

    def packed(self, pipe: object, z: Tensor) -> Tensor:
        """Return latents as the pipeline's call takes them."""
        ...

    def unpacked(self, pipe: object, z: Tensor, like: Tensor) -> Tensor:
        """Return latents of the pipeline's call in the shape of others."""
        ...


@dataclass(frozen=True)
class _Plain:
    """Latents go into the call, and come out of it, as they are."""

    flow: bool = True
    call: dict[str, Any] = field(default_factory=dict)

    def packed(self, pipe: object, z: Tensor) -> Tensor:
        return z

    def unpacked(self, pipe: object, z: Tensor, like: Tensor) -> Tensor:
        return z


@dataclass(frozen=True)
class SD3(_Plain):
    """Stable Diffusion 3: CLIP, CLIP and T5; t from 0 to 1000 (arXiv:2403.03206)."""

    def read(self, pipe: Any, prompts: Sequence[str], z: Tensor) -> Inputs:
        found = pipe.encode_prompt(
            prompt=list(prompts),
            prompt_2=None,
            prompt_3=None,
            do_classifier_free_guidance=False,
        )
        return {"context": found[0], "pooled": found[2]}

    def ask(self, pipe: Any, z: Tensor, t: Tensor, inputs: Inputs, guidance: float) -> Tensor:
        out: Tensor = pipe.transformer(
            hidden_states=z,
            timestep=t,
            encoder_hidden_states=inputs["context"],
            pooled_projections=inputs["pooled"],
        ).sample
        return out


@dataclass(frozen=True)
class Flux:
    """FLUX.1: CLIP's pooled state and T5; latents in 2 x 2 patches; guidance is an input."""

    flow: bool = True
    call: dict[str, Any] = field(default_factory=dict)

    def read(self, pipe: Any, prompts: Sequence[str], z: Tensor) -> Inputs:
        context, pooled, _ = pipe.encode_prompt(prompt=list(prompts), prompt_2=None)
        return {"context": context, "pooled": pooled}

    def ask(self, pipe: Any, z: Tensor, t: Tensor, inputs: Inputs, guidance: float) -> Tensor:
        count, _, height, width = z.shape
        embedded = pipe.transformer.config.guidance_embeds
        at = torch.zeros(inputs["context"].shape[1], 3, device=z.device, dtype=z.dtype)
        out = pipe.transformer(
            hidden_states=self.packed(pipe, z),
            timestep=t / TIMESTEPS,
            guidance=torch.full_like(t, guidance) if embedded else None,
            pooled_projections=inputs["pooled"],
            encoder_hidden_states=inputs["context"],
            txt_ids=at,
            img_ids=pipe._prepare_latent_image_ids(
                count, height // 2, width // 2, z.device, z.dtype
            ),
        ).sample
        return self.unpacked(pipe, out, z)

    def packed(self, pipe: Any, z: Tensor) -> Tensor:
        found: Tensor = pipe._pack_latents(z, *z.shape)
        return found

    def unpacked(self, pipe: Any, z: Tensor, like: Tensor) -> Tensor:
        f = pipe.vae_scale_factor
        found: Tensor = pipe._unpack_latents(z, like.shape[2] * f, like.shape[3] * f, f)
        return found


@dataclass(frozen=True)
class SDXL(_Plain):
    """Stable Diffusion XL: two CLIPs, and the size of the image (arXiv:2307.01952)."""

    flow: bool = False

    def read(self, pipe: Any, prompts: Sequence[str], z: Tensor) -> Inputs:
        found = pipe.encode_prompt(prompt=list(prompts), do_classifier_free_guidance=False)
        return {"context": found[0], "pooled": found[2]}

    def ask(self, pipe: Any, z: Tensor, t: Tensor, inputs: Inputs, guidance: float) -> Tensor:
        size = tuple(side * pipe.vae_scale_factor for side in z.shape[2:])
        second = pipe.text_encoder_2
        width = inputs["pooled"].shape[-1] if second is None else second.config.projection_dim
        ids = pipe._get_add_time_ids(
            size, (0, 0), size, dtype=z.dtype, text_encoder_projection_dim=int(width)
        )
        out: Tensor = pipe.unet(
            z,
            t,
            encoder_hidden_states=inputs["context"],
            added_cond_kwargs={
                "text_embeds": inputs["pooled"],
                "time_ids": ids.to(z.device).expand(len(z), -1),
            },
        ).sample
        return out


_LITERAL = {"use_resolution_binning": False, "clean_caption": False}
"""Images of the size that is asked for, and prompts that no other library rewrites."""


@dataclass(frozen=True)
class PixArt(_Plain):
    """PixArt: T5 with its mask; the size of the image, of networks for 1024 (arXiv:2310.00426)."""

    flow: bool = False
    call: dict[str, Any] = field(default_factory=lambda: dict(_LITERAL))

    def read(self, pipe: Any, prompts: Sequence[str], z: Tensor) -> Inputs:
        found = pipe.encode_prompt(
            list(prompts), do_classifier_free_guidance=False, clean_caption=False
        )
        return {"context": found[0], "mask": found[1]}

    def ask(self, pipe: Any, z: Tensor, t: Tensor, inputs: Inputs, guidance: float) -> Tensor:
        height, width = (side * pipe.vae_scale_factor for side in z.shape[2:])
        sized: dict[str, object] = {"resolution": None, "aspect_ratio": None}
        config = pipe.transformer.config
        if config.sample_size == 128 and "Alpha" in type(pipe).__name__:
            sides = torch.tensor([[height, width]], device=z.device, dtype=z.dtype)
            sized["resolution"] = sides.expand(len(z), -1)
            sized["aspect_ratio"] = sides[:, :1] / sides[:, 1:] * torch.ones_like(t)[:, None]
        out: Tensor = pipe.transformer(
            z,
            encoder_hidden_states=inputs["context"],
            encoder_attention_mask=inputs["mask"],
            timestep=t,
            added_cond_kwargs=sized,
        ).sample
        return out


@dataclass(frozen=True)
class Sana(_Plain):
    """SANA: Gemma's states after its instruction; a deep first stage (arXiv:2410.10629)."""

    call: dict[str, Any] = field(default_factory=lambda: dict(_LITERAL))

    def read(self, pipe: Any, prompts: Sequence[str], z: Tensor) -> Inputs:
        from inspect import signature

        template = signature(type(pipe).__call__).parameters["complex_human_instruction"].default
        found = pipe.encode_prompt(
            list(prompts), do_classifier_free_guidance=False, complex_human_instruction=template
        )
        return {"context": found[0], "mask": found[1]}

    def ask(self, pipe: Any, z: Tensor, t: Tensor, inputs: Inputs, guidance: float) -> Tensor:
        out: Tensor = pipe.transformer(
            z,
            encoder_hidden_states=inputs["context"],
            encoder_attention_mask=inputs["mask"],
            timestep=t * pipe.transformer.config.timestep_scale,
        ).sample
        return out


FAMILIES: dict[str, Family] = {
    "flux": Flux(),
    "pixart": PixArt(),
    "sana": Sana(),
    "sd3": SD3(),
    "sdxl": SDXL(),
}
"""By the words of sources.models.pipelines.INTERFACED."""
