"""A diffusers pipeline behind the one interface: its own call makes the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ldmbench.canonical import digest_files
from ldmbench.errors import InputError
from ldmbench.models.conditions import Inputs
from ldmbench.models.first_stage import KL, Absent, FirstStage, Normalised, Plain
from ldmbench.models.model import Info, Model, info_of, to_uint8
from ldmbench.models.pipelines.families import FAMILIES, TIMESTEPS, Family
from ldmbench.registry import resolve
from ldmbench.sample.flow import Interval
from ldmbench.sample.noise import generator_of
from ldmbench.sample.schedule import Schedule
from ldmbench.schema.models import LatentRule, ModelFacts
from ldmbench.sources.models.diffusers_classes import ELSEWHERE
from ldmbench.sources.models.peek import describe_pipeline
from ldmbench.sources.models.pipelines import PipelineFolder, read_pipeline
from ldmbench.words import first_line

__all__ = ["Pipeline", "load_pipeline"]

_NAMED = {
    "DDIMScheduler": "ddim",
    "DDPMScheduler": "ddpm",
    "DPMSolverMultistepScheduler": "dpm++",
    "EulerDiscreteScheduler": "euler",
    "FlowMatchEulerDiscreteScheduler": "euler",
    "FlowMatchHeunDiscreteScheduler": "heun",
    "HeunDiscreteScheduler": "heun",
    "PNDMScheduler": "pndm",
    "UniPCMultistepScheduler": "unipc",
}
"""Schedulers of folders -> the sampler that means the same."""
GUIDANCE = 3.5
"""Of FLUX's embedded input where a prediction is asked for and none is named: its call's own."""


@dataclass(frozen=True)
class Null:
    """The source's own empty condition of B samples."""

    count: int


@dataclass(frozen=True)
class PromptTexts:
    """Prompts that a pipeline reads by itself."""

    pipe: Any
    family: Family | None
    kind: str = "text"

    def inputs(self, cond: object, z: Tensor) -> Inputs:
        """Return the network's inputs of B prompts."""
        if self.family is None:
            raise InputError(_closed(self.pipe, "its network"))
        if isinstance(cond, Null):
            arguments = self.family.read(self.pipe, [""] * cond.count, z)
            zeros = getattr(self.pipe.config, "force_zeros_for_empty_prompt", False)
            return {k: torch.zeros_like(v) for k, v in arguments.items()} if zeros else arguments
        return self.family.read(self.pipe, prompts_of(cond, len(z)), z)

    def null(self, cond: object, z: Tensor) -> Any:
        """Return the source's empty condition."""
        return Null(len(z))

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks; those of a pipeline are counted together."""
        return {}


class Pipeline(Model):
    """A diffusers pipeline; of a known family its networks can be asked, too.

    Attributes:
        pipe: the pipeline itself.
        family: how its networks are asked; None of other classes.
    """

    def __init__(self, info: Info, stage: FirstStage, *, pipe: Any, folder: PipelineFolder) -> None:
        self.pipe, self.folder = pipe, folder
        self.family = FAMILIES[folder.family] if folder.family else None
        network = pipe.components.get("transformer") or pipe.components.get("unet")
        condition = PromptTexts(pipe, self.family)
        super().__init__(info, stage, network=network, condition=condition)

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks by name: first_stage, denoiser and those that read prompts."""
        names = {"vae": "first_stage", "transformer": "denoiser", "unet": "denoiser"}
        return {
            names.get(name, name): part
            for name, part in self.pipe.components.items()
            if isinstance(part, nn.Module)
        }

    def predict(
        self, z: Tensor, t: Tensor, inputs: Inputs, *, guidance: float = GUIDANCE
    ) -> Tensor:
        """Return what the network predicts: (B, C or 2C, h, w)."""
        if self.family is None:
            raise InputError(_closed(self.pipe, "its network"))
        return self.family.ask(self.pipe, z, t, inputs, guidance)

    @torch.no_grad()
    def eps(self, z: Tensor, t: Tensor, cond: object = None) -> Tensor:
        """Predict the noise in latents; of a flow z + (1 - sigma) velocity, sigma = t / 1000."""
        if self.family is None or not self.family.flow:
            return super().eps(z, t, cond)
        z = torch.as_tensor(z)
        sigma = self._times(t, z)[:, None, None, None] / TIMESTEPS
        return z + (1 - sigma) * self.velocity(z, t, cond)

    @torch.no_grad()
    def velocity(
        self, z: Tensor, t: Tensor, cond: object = None, *, guidance: float = GUIDANCE
    ) -> Tensor:
        """Return noise - data as the network predicts it.

        Args:
            z: (B, C, h, w), as the denoiser sees them.
            t: (B,), or one for all, the scheduler's timestep: 1000 is noise, 0 data.
            cond: B prompts.
            guidance: the embedded input of FLUX.1-dev; other networks have none.

        Raises:
            InputError: the pipeline is no flow, or its networks are not known.
        """
        if self.family is not None and not self.family.flow:
            return super().velocity(z, t, cond)
        z = torch.as_tensor(z)
        self._check_latents(z)
        inputs = self.condition.inputs(cond, z)
        return self.predict(z, self._times(t, z), inputs, guidance=guidance)[:, : z.shape[1]]

    def _times(self, t: Tensor, z: Tensor) -> Tensor:
        """Return timesteps of a flow, one for each latent."""
        t = torch.as_tensor(t, device=z.device).to(z.dtype).expand(len(z))
        if t.numel() and not 0 <= float(t.min()) <= float(t.max()) <= TIMESTEPS:
            raise InputError(f"timesteps of a flow of diffusers must lie in [0, {TIMESTEPS}]")
        return t

    @torch.no_grad()
    def sample(
        self,
        noise: Tensor,
        *,
        steps: int,
        eta: float = 0.0,
        cond: Any = None,
        uncond: Any = None,
        guidance: float = 1.0,
        guidance_interval: Interval | None = None,
        sampler: str | None = None,
        timesteps: str | None = None,
        seeds: Sequence[int] | None = None,
        step_noise: Tensor | None = None,
        quantize: str | None = None,
        decode: bool = True,
        guide: Model | None = None,
    ) -> NDArray[np.uint8] | Tensor:
        """Turn noise into images by the pipeline's own call, or by a sampler of ours.

        Args:
            noise: (B, C, h, w), N(0, 1), not packed; scaled by the scheduler inside.
            steps: of its scheduler.
            eta: of ddim.
            cond: B prompts.
            uncond: B negative prompts; None is the pipeline's own.
            guidance: its guidance_scale; of FLUX.1 the embedded input.
            guidance_interval: of samplers of ours.
            sampler: None or `own` is the folder's scheduler, and so is the name of its solver;
                other samplers run on pipelines that predict noise.
            timesteps: of samplers of ours.
            seeds: one per sample, for schedulers that draw noise.
            step_noise: of samplers of ours.
            quantize: round or truncate; None is round, diffusers' own.
            decode: False returns the latents, (B, C, h, w).
            guide: another model that guides samplers of ours.

        Returns:
            uint8, NHWC; or latents.

        Raises:
            InputError: words that do not go with the pipeline.
        """
        noise = torch.as_tensor(noise)
        own = _NAMED.get(str(self.folder.scheduler.get("_class_name")), "own")
        ours = timesteps is not None or eta or step_noise is not None or guidance_interval or guide
        if ours or sampler not in (None, "own", own):
            return self._otherwise(
                noise, steps=steps, eta=eta, cond=cond, uncond=uncond, guidance=guidance,
                guidance_interval=guidance_interval, sampler=sampler, timesteps=timesteps,
                seeds=seeds, step_noise=step_noise, quantize=quantize, decode=decode, guide=guide,
            )  # fmt: skip
        if self.family is None:
            raise InputError(_closed(self.pipe, "its latents"))
        self._check_latents(noise)
        arguments: dict[str, object] = {} if uncond is None else {"negative_prompt": list(uncond)}
        made = self.call(
            prompts_of(cond, len(noise)),
            steps=steps,
            guidance=guidance,
            noise=noise,
            seeds=seeds,
            sides=(noise.shape[2] * self.info.f, noise.shape[3] * self.info.f),
            output_type="latent",
            **arguments,
        )
        z = self.family.unpacked(self.pipe, made, noise)
        return to_uint8(self.decode(z), quantize or self.info.quantize) if decode else z

    def _otherwise(self, noise: Tensor, **how: Any) -> NDArray[np.uint8] | Tensor:
        """Sample by a solver of ours, which asks the network itself."""
        if self.family is None or self.family.flow:
            raise InputError(
                f"{self.info.path} is sampled by its own call: leave out sampler, eta, timesteps,"
                " step_noise, guidance_interval and guide"
            )
        return super().sample(noise, **how)

    def call(
        self,
        prompts: Sequence[str],
        *,
        steps: int,
        guidance: float,
        sides: tuple[int, int],
        noise: Tensor | None = None,
        seeds: Sequence[int] | None = None,
        **more: Any,
    ) -> Any:
        """Return the images of the pipeline's own call.

        Args:
            prompts: B texts.
            steps: num_inference_steps.
            guidance: guidance_scale, or true_cfg_scale of classes whose scale has no default.
            sides: height and width of the images.
            noise: (B, C, h, w), of a known family; None lets the pipeline draw it by `seeds`.
            seeds: one per sample.
            more: other arguments.

        Raises:
            InputError: the pipeline refuses them.
        """
        known = self.folder.source.arguments
        arguments: dict[str, object] = {"prompt": list(prompts), "num_inference_steps": steps}
        arguments |= dict(zip(("height", "width"), sides, strict=True))
        if self.folder.guides_by_true_scale:
            arguments |= {"true_cfg_scale": guidance, "negative_prompt": ""}
        else:
            arguments["guidance_scale"] = guidance
        if noise is not None and self.family is not None:
            arguments["latents"] = self.family.packed(self.pipe, noise)
        if seeds is not None:
            arguments["generator"] = [generator_of(int(seed)) for seed in seeds]
        arguments |= (dict(self.family.call) if self.family else {}) | more
        try:
            return self.pipe(
                **{name: value for name, value in arguments.items() if name in known}
            ).images
        except (ValueError, TypeError) as error:
            said = first_line(error)[:300]
            raise InputError(f"{self.info.path}: {self.folder.name} refuses it: {said}") from error

    def with_guidance(self, *, null_class: int | None, guided_channels: int | None) -> Model:
        """Return the pipeline, whose own call guides all channels.

        Raises:
            InputError: a null class or guided channels are stated.
        """
        if guided_channels is not None:
            raise InputError(
                f"{self.info.path} is sampled by its own call, which guides all channels; leave out"
                " guided_channels"
            )
        return super().with_guidance(null_class=null_class, guided_channels=None)

    def to(self, device: str | torch.device) -> Model:
        """Move all networks to a device; returns the model itself."""
        self.pipe.to(device)
        return self


def load_pipeline(root: Path) -> Pipeline:
    """Load a pipeline by its class of the installed diffusers; no code of the folder is run.

    Args:
        root: its folder.

    Raises:
        InputError: see `read_pipeline`; or components that do not fit together.
    """
    folder = read_pipeline(root)
    cls: Any = resolve(f"diffusers:{folder.name}")
    try:
        pipe = cls.from_pretrained(
            root,
            torch_dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            variant=folder.variant,
        )
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        said = first_line(error)[:300]
        raise InputError(f"{root} does not load as {folder.name}: {said}") from error
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            part.eval().requires_grad_(False)
    facts = describe_pipeline(folder)
    info = info_of(
        facts,
        path=root,
        digest=digest_files(folder.files, root=root),
        latent_shape=(folder.channels, facts.sides[0] // facts.f, facts.sides[1] // facts.f),
        scale=float(facts.scale or 1.0),
        schedule=_schedule(folder),
    )
    return Pipeline(info, _stage(pipe, folder, facts), pipe=pipe, folder=folder)


def _stage(pipe: object, folder: PipelineFolder, facts: ModelFacts) -> FirstStage:
    """Return the first stage with the shift of its latents; the scale is the model's."""
    vae, config = getattr(pipe, "vae", None), folder.stage
    if folder.family is None or vae is None:
        return Absent(_closed(pipe, "its first stage"), kind="pixel")
    deep = type(vae).__name__ == "AutoencoderDC"
    stage: FirstStage = Plain(vae, kind="tiny") if deep else KL(vae)
    mean, std = config.get("latents_mean") or (), config.get("latents_std") or ()
    if not (mean and std):
        mean, std = (config["shift_factor"],) if config.get("shift_factor") else (), ()
    if not mean:
        return stage
    rule = LatentRule(channels=folder.channels, f=facts.f, scale=facts.scale, mean=mean, std=std)
    return Normalised(stage, rule)


def _schedule(folder: PipelineFolder) -> Schedule | None:
    """Return the betas of a pipeline that predicts noise."""
    family = FAMILIES.get(folder.family or "")
    return Schedule.from_config(folder.scheduler) if family and not family.flow else None


def prompts_of(cond: Any, count: int) -> list[str]:
    """Return B prompts, or say what is wrong with them."""
    listed = isinstance(cond, Sequence) and not isinstance(cond, str)
    if not listed or not all(isinstance(text, str) for text in cond) or len(cond) != count:
        raise InputError(f"the model reads prompts; give cond, a list of {count} texts")
    return list(cond)


def _closed(pipe: object, what: str) -> str:
    return (
        f"{type(pipe).__name__} is sampled by its own call alone, which gives images of prompts;"
        f" {what} cannot be asked apart; {ELSEWHERE}"
    )
