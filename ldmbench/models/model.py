"""The one interface to every model, trained here or loaded: encode, decode, eps, sample, info."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ldmbench import sample as sampling
from ldmbench.errors import InputError
from ldmbench.models.conditions import (
    Condition,
    Inputs,
    NoCondition,
    null_class_of,
    with_null_class,
)
from ldmbench.models.first_stage import Absent, FirstStage, Rate, Representation
from ldmbench.models.precond import OBJECTIVES, levels_of
from ldmbench.registry import nearest
from ldmbench.sample import Schedule
from ldmbench.sample.flow import Flow, Interval
from ldmbench.sample.limits import why_not_interval
from ldmbench.sample.paths import noise_of, velocity_of
from ldmbench.sample.processes import why_not_alike
from ldmbench.sample.velocity import Field, integrate
from ldmbench.schema.models import LatentRule, ModelFacts

__all__ = ["Info", "Model", "evaluate", "info_of", "latent_sides", "to_uint8"]

QUANTIZE = ("round", "truncate")
_COPIED = ("f", "source", "quantize", "timesteps", "weights", "weights_from", "left_out", "assumed",
         "guidance_interval", "latents")  # fmt: skip
"""What Info takes from ModelFacts."""


@dataclass(frozen=True)
class Info:
    """What a loaded model is.

    Attributes:
        f: downsampling factor.
        latent_shape: (C, h, w) of one latent at the resolution of training.
        parameters: of all its networks together.
        conditioning: the `kind` of its condition.
        scale: what encode multiplies by; 1 for a bare first stage.
        schedule: the forward process; None for a bare first stage, and of a flow.
        digest: sha256 of its weights and config files.
        source: "compvis", "guided-diffusion" or "diffusers", with the class that was found.
        weights: "ema" or "raw".
        weights_from: the file that they are of, and in brackets the entry of it that was taken.
        left_out: patterns of tensors that were left out, each with their number.
        regularization: vq, kl, tiny or pixel.
        quantize: the source's rule from [-1, 1] to uint8: round or truncate.
        timesteps: the source's timestep rule, or None for the solver's own.
        null_class: label that stands for no class, or None.
        parts: parameters by network.
        time_scale: what timesteps are multiplied by before the network sees them.
        guided_channels: of a latent, from the first, that guidance moves; None is all.
        assumed: what no file states, and what was taken for it; a sentence each.
        flow: the forward process of a flow, and how its source samples it.
        guidance_interval: times at which guidance is on, unless `sample` names others; None is all.
        latents: how those of its first stage become what a denoiser sees; None on pixels.
        path: where it came from.
    """

    f: int
    latent_shape: tuple[int, int, int]
    digest: str
    source: str
    path: Path
    quantize: str
    scale: float = 1.0
    schedule: Schedule | None = None
    timesteps: str | None = None
    weights: str = "raw"
    parameters: int = 0
    parts: tuple[tuple[str, int], ...] = ()
    conditioning: str = "none"
    null_class: int | None = None
    regularization: str = "pixel"
    time_scale: float = 1.0
    guided_channels: int | None = None
    assumed: tuple[str, ...] = ()
    weights_from: str = ""
    left_out: tuple[str, ...] = ()
    flow: Flow | None = None
    guidance_interval: Interval | None = None
    latents: LatentRule | None = None


def info_of(
    facts: ModelFacts, *, path: Path, digest: str, latent_shape: tuple[int, int, int], **more: Any
) -> Info:
    """Return what a model is, of what its configs say: a loader adds what only tensors tell.

    Args:
        facts: of `sources.models.peek`, as a plan has them.
        path: where it came from.
        digest: of its weights and config files.
        latent_shape: (C, h, w).
        more: other fields of Info.
    """
    copied: dict[str, Any] = {name: getattr(facts, name) for name in _COPIED}
    return Info(**{**copied, "path": path, "digest": digest, "latent_shape": latent_shape, **more})


class Model:
    """A model behind the one interface of DESIGN.md.

    Attributes:
        info: what it is; what follows from the networks (parameters, conditioning, null class,
            regularization) is filled in here.
        first_stage: images to latents, not scaled.
        condition: the task.
        network: the denoiser, a diffusers network, or None for a bare first stage.
    """

    def __init__(
        self,
        info: Info,
        first_stage: FirstStage,
        *,
        network: nn.Module | None = None,
        condition: Condition | None = None,
    ) -> None:
        self.first_stage = first_stage
        self.network = network
        self.condition: Condition = condition or NoCondition()
        counts = {n: sum(p.numel() for p in m.parameters()) for n, m in self.networks().items()}
        self.info = replace(
            info,
            parameters=sum(counts.values()),
            parts=tuple(counts.items()),
            conditioning=self.condition.kind,
            null_class=null_class_of(self.condition),
            regularization=first_stage.kind,
        )

    @property
    def scale(self) -> float:
        """Return what latents of the first stage are multiplied by."""
        return self.info.scale

    @torch.no_grad()
    def encode(self, x: torch.Tensor, *, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Return the latents of images as the denoiser sees them.

        Args:
            x: NCHW, float, in [-1, 1].
            noise: N(0, 1) of the latents' shape; a KL model then draws mean + std * noise.

        Returns:
            (N, C, H / f, W / f): scaled; of a VQ model before quantisation, of a KL model the
            posterior's mode.
        """
        x = torch.as_tensor(x)
        self._check_images(x)
        return self.first_stage.encode(x, noise=noise) * self.info.scale

    @torch.no_grad()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the images of latents, NCHW, float, about [-1, 1]; a VQ model quantises."""
        z = torch.as_tensor(z)
        self._check_latents(z)
        return self.first_stage.decode(z / self.info.scale)

    @torch.no_grad()
    def rate(self, x: torch.Tensor) -> Rate:
        """Return what the latents of images cost in bits; x as in `encode`."""
        self._check_images(x)
        return self.first_stage.rate(x)

    def shape_of(self, resolution: int) -> tuple[int, int, int]:
        """Return (C, h, w) of the latent of a square image.

        Raises:
            InputError: if f does not divide the resolution.
        """
        return self.info.latent_shape[0], *latent_sides(resolution, self.info.f)

    @torch.no_grad()
    def eps(self, z: torch.Tensor, t: torch.Tensor, cond: Any = None) -> torch.Tensor:
        """Predict the noise in latents.

        Args:
            z: (B, C, h, w), as the denoiser sees them.
            t: (B,) integers in [0, T); of a flow times as in `velocity`.
            cond: see `sample`.

        Returns:
            (B, C, h, w); networks that predict v, the clean latent, a velocity or a score are
            converted.
        """
        if self.info.flow is not None:
            z = torch.as_tensor(z)
            t = self._times(t, z)
            return noise_of(self.info.flow, self.velocity(z, t, cond), z, t)
        schedule, z = self._schedule(), torch.as_tensor(z)
        if schedule.is_regression:
            raise InputError(
                f"{self.info.path} is a regression: it predicts no noise; `sample` with steps 1"
                " returns what it makes of a condition"
            )
        self._check_latents(z)
        t = torch.as_tensor(t, device=z.device).expand(z.shape[0]).long()
        if t.numel() and not 0 <= int(t.min()) <= int(t.max()) < schedule.T:
            raise InputError(f"timesteps must lie in [0, {schedule.T})")
        out = self.predict(z, t, self.condition.inputs(cond, z))[:, : z.shape[1]]
        return OBJECTIVES[schedule.prediction].noise(out, z, levels_of(schedule, t, z))

    @torch.no_grad()
    def velocity(self, z: torch.Tensor, t: torch.Tensor, cond: object = None) -> torch.Tensor:
        """Return dz / dt of a flow, in its source's time and sign.

        Args:
            z: (B, C, h, w), as the denoiser sees them.
            t: (B,), or one for all, in [0, 1]; `info.flow.noise_at` says where noise is.
            cond: see `sample`.

        Returns:
            (B, C, h, w); networks that predict noise or a score are converted.

        Raises:
            InputError: the model is no flow.
        """
        flow, z = self.info.flow, torch.as_tensor(z)
        if flow is None:
            self._schedule()
            raise InputError(
                f"{self.info.path} is a diffusion in discrete steps, which has no velocity; ask for"
                " `eps`"
            )
        self._check_latents(z)
        t = self._times(t, z)
        out = self.predict(z, t, self.condition.inputs(cond, z))[:, : z.shape[1]]
        return velocity_of(flow, out, z, t)

    def _times(self, t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return times of a flow, one for each latent."""
        t = torch.as_tensor(t, device=z.device).to(z.dtype).expand(len(z))
        if t.numel() and not 0 <= float(t.min()) <= float(t.max()) <= 1:
            raise InputError("times of a flow must lie in [0, 1]")
        return t

    def predict(self, z: torch.Tensor, t: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Return what the network predicts: (B, C or 2C, h, w)."""
        assert self.network is not None
        if self.info.time_scale != 1:
            t = t * self.info.time_scale
        return evaluate(self.network, z, t, inputs)

    @torch.no_grad()
    def sample(
        self,
        noise: torch.Tensor,
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
        step_noise: torch.Tensor | None = None,
        quantize: str | None = None,
        decode: bool = True,
        guide: Model | None = None,
    ) -> NDArray[np.uint8] | torch.Tensor:
        """Turn noise into images.

        Args:
            noise: (B, C, h, w), N(0, 1); scaled by the scheduler's initial sigma inside.
            steps: how many are asked for, as the source counts them; the compvis rule may take
                more.
            eta: of ddim; 0 is deterministic.
            cond: class labels (B,), a list of prompts, or the task's tensor in [-1, 1].
            uncond: the null condition; None is the source's null class, "" or zeros.
            guidance: classifier-free guidance; 1 means one evaluation a step.
            guidance_interval: lowest and highest time at which guidance is on, both ends in: a
                flow's in [0, 1], timesteps in [0, T) of others; None is the source's own.
            sampler: ddim (default), ddpm, dpm++, unipc, pndm, euler or heun; of a flow euler
                (default), heun, dopri5 or sde.
            timesteps: compvis, leading, trailing or linspace; None is the source's rule.
            seeds: one per sample, for samplers that draw noise on their way.
            step_noise: (draws, B, C, h, w) in place of seeds.
            quantize: round or truncate; None is the source's rule.
            decode: False returns the latents, (B, C, h, w).
            guide: a weaker model of the same latents, conditions and forward process, whose
                prediction takes the place of the one without condition: autoguidance
                (arXiv:2406.02507, equation 3).

        Returns:
            uint8, NHWC, in 0..255; or latents.

        Raises:
            InputError: names, shapes or step counts that cannot be.
        """
        noise = torch.as_tensor(noise)
        if self.info.flow is None:
            self._schedule()
        self._check_latents(noise)
        if decode and isinstance(self.first_stage, Absent):
            raise InputError(self.first_stage.why)
        rule = _rule(quantize or self.info.quantize)
        ways = self._denoise(noise, cond, uncond, guidance, guide)
        interval = self._interval(guidance_interval)
        drawn: dict[str, Any] = {
            "seeds": seeds,
            "step_noise": None if step_noise is None else torch.as_tensor(step_noise),
        }
        if self.info.flow is not None:
            _check_flow_words(eta=eta, timesteps=timesteps)
            z = integrate(
                _field(self.info.flow, ways),
                noise,
                flow=self.info.flow,
                steps=steps,
                sampler=sampler or "euler",
                interval=interval,
                **drawn,
            )
        else:
            z = sampling.sample(
                ways[1],
                noise,
                schedule=self._schedule(),
                steps=steps,
                sampler=sampler or "ddim",
                eta=eta,
                timesteps=timesteps or self.info.timesteps,
                interval=interval,
                unguided=ways[0],
                **drawn,
            )
        return to_uint8(self.decode(z), rule) if decode else z

    def with_guidance(self, *, null_class: int | None, guided_channels: int | None) -> Model:
        """Return the model with what the user says of its guidance, None being what files say.

        Raises:
            InputError: it has no such class, or no such channels.
        """
        if null_class is not None:
            self.condition = with_null_class(self.condition, null_class, path=self.info.path)
            self.info = replace(self.info, null_class=null_class)
        if guided_channels is not None:
            most = self.info.latent_shape[0]
            if not 1 <= guided_channels <= most or self.network is None:
                raise InputError(
                    f"{self.info.path}: guided_channels is {guided_channels}; allowed are 1 to"
                    f" {most}, the channels of its latents, of a model that samples"
                )
            self.info = replace(self.info, guided_channels=guided_channels)
        return self

    def behind(self, first_stage: FirstStage, *, f: int, scale: float) -> Model:
        """Return the model of latents that this one is of, behind a first stage.

        Args:
            first_stage: images to latents, not scaled.
            f: its downsampling factor.
            scale: what its latents are multiplied by.
        """
        info = replace(self.info, f=f, scale=scale)
        return Model(info, first_stage, network=self.network, condition=self.condition)

    def to(self, device: str | torch.device) -> Model:
        """Move all networks to a device; returns the model itself."""
        for network in self.networks().values():
            network.to(device)
        return self

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks by name: first_stage, denoiser and those of the condition."""
        found: dict[str, nn.Module] = {}
        if self.first_stage.network is not None:
            found["first_stage"] = self.first_stage.network
        if self.network is not None:
            found["denoiser"] = self.network
        return found | self.condition.parts()

    def _denoise(
        self,
        noise: torch.Tensor,
        cond: Any,
        uncond: object,
        guidance: float,
        guide: Model | None = None,
    ) -> tuple[sampling.Denoise, sampling.Denoise]:
        """Return what predicts without guidance, and with it."""
        with_cond = self.condition.inputs(cond, noise)

        def conditional(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.predict(z, t, with_cond)

        if guidance == 1.0:
            return conditional, conditional
        if guide is not None:
            self._check_guide(guide, uncond)
            beside = guide.condition.inputs(cond, noise)

            def autoguided(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
                weak, strong = guide.predict(z, t, beside), conditional(z, t)
                return sampling.mix(strong, weak, guidance=guidance, channels=z.shape[1])

            return conditional, autoguided
        null = self.condition.null(cond, noise) if uncond is None else uncond
        without = self.condition.inputs(null, noise)
        pairs = {k: torch.cat([without[k].to(v), v]) for k, v in with_cond.items()}

        moved = self.info.guided_channels or noise.shape[1]

        def joint(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            # One batch of both, null first, as CompVis and diffusers do: the same rounding.
            base, conditioned = self.predict(torch.cat([z, z]), torch.cat([t, t]), pairs).chunk(2)
            return sampling.mix(conditioned, base, guidance=guidance, channels=moved)

        return conditional, joint

    def _check_guide(self, guide: Model, uncond: object) -> None:
        """Refuse a guide of other latents, conditions or another forward process."""
        ours, theirs = self.info, guide.info
        why = None
        if uncond is not None:
            why = "a null condition is given too; a guide takes its place"
        elif guide.network is None:
            why = "it is a first stage alone"
        elif ours.latent_shape != theirs.latent_shape:
            why = f"its latents are {theirs.latent_shape}, not {ours.latent_shape}"
        elif not math.isclose(ours.scale, theirs.scale, rel_tol=1e-3):
            why = f"the scale of its latents is {theirs.scale:g}, not {ours.scale:g}"
        elif ours.conditioning != theirs.conditioning:
            why = f"it is conditioned on {theirs.conditioning}, not {ours.conditioning}"
        else:
            processes = ours.flow or self._schedule(), theirs.flow or guide._schedule()
            why = why_not_alike(*processes)
        if why:
            raise InputError(f"{theirs.path} cannot guide {ours.path}: {why}")

    def _interval(self, asked: Interval | None) -> Interval | None:
        """Return the times with guidance: as asked for, else the source's own; None is all."""
        found = asked or self.info.guidance_interval
        if found is None:
            return None
        last = 1 if self.info.flow else self._schedule().T - 1
        why = why_not_interval(found, (), last=last)
        if why:
            raise InputError(f"guidance_interval {tuple(found)}: {why}")
        return found

    def _schedule(self) -> Schedule:
        if self.network is None or self.info.schedule is None:
            raise InputError(
                f"{self.info.path} is a first stage alone: it encodes and decodes, but has no "
                "denoiser to sample with; load a diffusion model instead"
            )
        return self.info.schedule

    def _check_images(self, x: torch.Tensor) -> None:
        f = 1 if isinstance(self.first_stage, Representation) else self.info.f  # which resizes
        if x.ndim != 4 or x.shape[2] % f or x.shape[3] % f or not x.is_floating_point():
            raise InputError(
                f"images must be float NCHW in [-1, 1] with sides divisible by f = {f}, "
                f"found {tuple(x.shape)} {x.dtype}"
            )

    def _check_latents(self, z: torch.Tensor) -> None:
        channels = self.info.latent_shape[0]
        if z.ndim != 4 or z.shape[1] != channels or not z.is_floating_point():
            raise InputError(
                f"latents must be float (B, {channels}, h, w), found {tuple(z.shape)} {z.dtype}; "
                f"at the resolution of training they are {self.info.latent_shape}"
            )


def _field(flow: Flow, ways: tuple[sampling.Denoise, sampling.Denoise]) -> Field:
    """Return the velocity of a network that predicts without guidance, and with it."""

    def velocity(z: torch.Tensor, t: torch.Tensor, guided: bool) -> torch.Tensor:
        return velocity_of(flow, ways[guided](z, t)[:, : z.shape[1]], z, t)

    return velocity


def _check_flow_words(*, eta: float, timesteps: str | None) -> None:
    """Refuse words that a flow does not have."""
    if eta or timesteps is not None:
        raise InputError(
            "the model is a flow, which has no eta and no timestep rule; leave both out (sampler:"
            " sde draws noise at its steps)"
        )


def evaluate(network: nn.Module, z: torch.Tensor, t: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Return what a diffusers network predicts from latents and condition, in training too."""
    joined = torch.cat([z, inputs["concat"]], dim=1) if "concat" in inputs else z
    extra: dict[str, Any] = {}
    if "context" in inputs:
        extra["encoder_hidden_states"] = inputs["context"]
    if "labels" in inputs:
        extra["class_labels"] = inputs["labels"]
    out: torch.Tensor = network(joined, t, **extra, return_dict=False)[0]
    return out


def to_uint8(x: torch.Tensor, rule: str = "round") -> NDArray[np.uint8]:
    """Return images as uint8 NHWC.

    Args:
        x: NCHW, float, [-1, 1]; clipped.
        rule: "round" (diffusers) or "truncate" (CompVis).
    """
    level = (x.float() / 2 + 0.5).clamp(0, 1) * 255
    level = level.round() if _rule(rule) == "round" else level.floor()
    image: NDArray[np.uint8] = level.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return image


def _rule(name: str) -> str:
    if name not in QUANTIZE:
        raise InputError(
            f"unknown quantize rule '{name}'{nearest(name, QUANTIZE)}; round or truncate"
        )
    return name


def latent_sides(resolution: int, f: int) -> tuple[int, int]:
    """Return (h, w) of the latent of a square image.

    Raises:
        InputError: if f does not divide the resolution.
    """
    if resolution < f or resolution % f:
        raise InputError(
            f"f = {f} does not divide a resolution of {resolution} pixels; "
            "choose an f that does, or another resolution"
        )
    return resolution // f, resolution // f
