"""What is benchmarked, behind one interface: a model trained here, a loaded one, your own code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ldmbench.errors import InputError
from ldmbench.models.autoencoder import FirstStage, Rate, kl_nats, nearest_codes
from ldmbench.models.denoiser import Denoiser
from ldmbench.models.load_model import Model, to_uint8
from ldmbench.sample import Schedule
from ldmbench.sample.guidance import guided
from ldmbench.sample.solvers import evaluations, sample

__all__ = ["Called", "Loaded", "LoadedStage", "Subject", "Trained", "Work"]

Images = NDArray[np.uint8]
LN2 = math.log(2)


@dataclass(frozen=True)
class Work:
    """What a sampled image takes, counted; None where it cannot be seen.

    Attributes:
        evaluations: of the denoiser, without those of guidance.
        denoiser: FLOPs of one evaluation on one image.
        condition: FLOPs of encoding one condition.
        decoder: FLOPs of decoding one latent.
        whole: FLOPs of one image, where its parts are not known.
        parameters: of the denoiser and its condition.
        autoencoder_parameters: of the first stage.
        batch: of training, where it was trained here.
    """

    evaluations: int | None = None
    denoiser: int = 0
    condition: int = 0
    decoder: int = 0
    whole: int | None = None
    parameters: int | None = None
    autoencoder_parameters: int | None = None
    batch: int | None = None


class Subject(Protocol):
    """A model that can be sampled.

    `shape` is that of one sample's noise, (C, h, w).
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, h, w) of one sample's noise."""
        ...

    def condition(self, *, captions: Sequence[str] | None, labels: Any | None) -> Any:
        """Return what the model is told of some images; None when it is told nothing."""
        ...

    def draw(
        self, noise: Tensor, *, condition: Any, params: Mapping[str, Any], seeds: Sequence[int]
    ) -> Images:
        """Return images uint8 NHWC of noise (B, C, h, w), float32, N(0, 1).

        Args:
            noise: where sampling starts.
            condition: of `condition`.
            params: sampler, steps, eta, guidance, timesteps, quantize.
            seeds: one per sample, for noise that is drawn on the way.
        """
        ...

    def work(self, params: Mapping[str, Any]) -> Work:
        """Return what one image takes."""
        ...


class Trained:
    """A first stage and a denoiser of ldmbench's own."""

    def __init__(self, autoencoder: FirstStage, denoiser: Denoiser) -> None:
        self.autoencoder, self.denoiser = autoencoder, denoiser

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, h, w) of a latent."""
        return self.denoiser.shape

    @property
    def schedule(self) -> Schedule:
        """Return the forward process."""
        return self.denoiser.schedule

    def condition(self, *, captions: Sequence[str] | None, labels: Any | None) -> Any:
        """Return the sequence to attend to, (N, L, channels), or None."""
        return self.denoiser.condition(captions=captions, labels=labels)

    def draw(
        self, noise: Tensor, *, condition: Any, params: Mapping[str, Any], seeds: Sequence[int]
    ) -> Images:
        """Sample, decode, quantise."""
        nothing = self.denoiser.null_condition(len(noise))
        latents = sample(
            guided(
                lambda z, t: self.denoiser.predict(z, t, condition),
                lambda z, t: self.denoiser.predict(z, t, nothing),
                guidance=params["guidance"],
            ),
            noise,
            schedule=self.denoiser.schedule,
            sampler=params["sampler"],
            steps=params["steps"],
            eta=params["eta"],
            timesteps=params["timesteps"],
            seeds=seeds,
        )
        return to_uint8(self.decode(latents), params.get("quantize") or "round")

    def encode(self, x: Tensor) -> Tensor:
        """Return scaled latents of images in [-1, 1]."""
        return self.autoencoder.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return images of scaled latents."""
        return self.autoencoder.decode(z)

    def eps(self, z: Tensor, t: Tensor, condition: Any) -> Tensor:
        """Return the predicted noise."""
        return self.denoiser.eps(z, t, condition)

    def work(self, params: Mapping[str, Any]) -> Work:
        """Count on networks without weights."""
        side = self.shape[1] * self.autoencoder.f
        return Work(
            evaluations=_evaluations(self.schedule, params),
            denoiser=self.denoiser.flops_per_image(),
            condition=self.denoiser.condition_flops(),
            decoder=self.autoencoder.flops(side)[1],
            parameters=self.denoiser.parameter_count,
            autoencoder_parameters=self.autoencoder.parameters,
            batch=self.denoiser.params.batch,
        )


class Loaded:
    """A model that `ldmbench.models.load` returned; samples exactly as its `sample` does."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, h, w) of a latent at the resolution of training."""
        return self.model.info.latent_shape

    @property
    def schedule(self) -> Schedule:
        """Return the forward process."""
        assert self.model.info.schedule is not None
        return self.model.info.schedule

    def condition(self, *, captions: Sequence[str] | None, labels: Any | None) -> Any:
        """Return labels (N,), a list of prompts, or None, by what the model takes."""
        kind = self.model.info.conditioning
        if kind == "class":
            return torch.as_tensor(labels, dtype=torch.int64)
        return list(captions or ()) if kind == "text" else None

    def draw(
        self, noise: Tensor, *, condition: Any, params: Mapping[str, Any], seeds: Sequence[int]
    ) -> Images:
        """Sample, decode, quantise; rules that `params` leaves open are the source's."""
        made = self.model.sample(
            noise,
            steps=params["steps"],
            eta=params["eta"],
            cond=condition,
            guidance=params["guidance"],
            sampler=params["sampler"],
            timesteps=params["timesteps"],
            seeds=seeds,
            quantize=params.get("quantize"),
        )
        assert isinstance(made, np.ndarray)
        return made

    def encode(self, x: Tensor) -> Tensor:
        """Return scaled latents of images in [-1, 1]."""
        return self.model.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return images of scaled latents."""
        return self.model.decode(z)

    def eps(self, z: Tensor, t: Tensor, condition: Any) -> Tensor:
        """Return the predicted noise."""
        return self.model.eps(z, t, condition)

    @torch.no_grad()
    def work(self, params: Mapping[str, Any]) -> Work:
        """Count one evaluation and one decoding as they run."""
        parts = dict(self.model.info.parts)
        first = parts.pop("first_stage", 0)
        at = next(iter(self.model.networks()["denoiser"].parameters())).device
        z, t = torch.zeros((1, *self.shape), device=at), torch.zeros(1, device=at).long()
        told = self.condition(captions=[""], labels=[0])
        inputs = self.model.condition.inputs(told, z)
        return Work(
            evaluations=_evaluations(self.schedule, params),
            denoiser=_counted(lambda: self.model.predict(z, t, inputs)),
            condition=_counted(lambda: self.model.condition.inputs(told, z)),
            decoder=_counted(lambda: self.model.decode(z)),
            parameters=sum(parts.values()),
            autoencoder_parameters=first,
        )


class LoadedStage:
    """The first stage of a loaded model, as the stages of a suite speak to one."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.f = model.info.f

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return scaled latents: a KL posterior's mode, a VQ's before quantisation."""
        return self.model.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return images; VQ quantises."""
        return self.model.decode(z)

    @torch.no_grad()
    def rate(self, x: Tensor) -> Rate:
        """Return what latents cost: KL to the prior, log2 of the codebook, 8 bits a value, 24."""
        pixels, network = x.shape[2] * x.shape[3], self.model.first_stage.network
        if self.model.first_stage.kind == "kl":
            posterior = network.encode(x).latent_dist
            return Rate(kl_nats(posterior).double().cpu() / LN2 / pixels)
        if self.model.first_stage.kind == "vq":
            codes = nearest_codes(network, network.encode(x).latents)
            size = int(network.config.num_vq_embeddings)
            bits = codes[0].numel() * float(np.log2(size)) / pixels
            return Rate(torch.full((len(x),), bits, dtype=torch.float64), codes.cpu(), size)
        bits = 8 * self.model.encode(x)[0].numel() / pixels
        return Rate(torch.full((len(x),), bits, dtype=torch.float64))


class Called:
    """A sampler of the user's own: `sample(noise, *, steps, cond, guidance, seeds)` or a function.

    Attributes:
        sampler: the object; its `shape` is that of the noise, else it is an image's.
    """

    def __init__(self, sampler: Any, *, side: int, conditioning: str, title: str) -> None:
        self.sampler, self.side = sampler, side
        self.conditioning, self.title = conditioning, title

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape it states, or (3, side, side)."""
        stated = tuple(int(n) for n in getattr(self.sampler, "shape", (3, self.side, self.side)))
        if len(stated) != 3:
            raise InputError(f"{self.title}: its shape is {stated}; it must be (C, h, w)")
        return stated[0], stated[1], stated[2]

    def condition(self, *, captions: Sequence[str] | None, labels: Any | None) -> Any:
        """Return labels (N,) int64, a list of captions, or None, by the suite's `conditioning`."""
        if self.conditioning == "class":
            return torch.as_tensor(labels, dtype=torch.int64)
        return list(captions or ()) if self.conditioning == "caption" else None

    def draw(
        self, noise: Tensor, *, condition: Any, params: Mapping[str, Any], seeds: Sequence[int]
    ) -> Images:
        """Call it and hold what it returns to uint8 NHWC.

        Raises:
            InputError: it returned something else.
        """
        call = getattr(self.sampler, "sample", self.sampler)
        made = call(
            noise,
            steps=params["steps"],
            cond=condition,
            guidance=params["guidance"],
            seeds=list(seeds),
        )
        images = np.asarray(made.cpu() if isinstance(made, Tensor) else made)
        wanted = (len(noise), self.side, self.side, 3)
        if images.shape != wanted or images.dtype != np.uint8:
            raise InputError(
                f"{self.title} returned {images.shape} {images.dtype}; it must return {wanted}"
                " uint8, which is NHWC in 0..255"
            )
        return images

    @torch.no_grad()
    def work(self, params: Mapping[str, Any]) -> Work:
        """Count the FLOPs of one image as it runs; nothing else can be seen."""
        noise = torch.zeros((1, *self.shape))
        told = self.condition(captions=[""], labels=[0])
        whole = _counted(lambda: self.draw(noise, condition=told, params=params, seeds=[0]))
        return Work(whole=whole)


def _evaluations(schedule: Schedule, params: Mapping[str, Any]) -> int:
    return evaluations(
        params["sampler"], params["steps"], schedule=schedule, timesteps=params["timesteps"]
    )


def _counted(call: Any) -> int:
    with FlopCounterMode(display=False) as counted:
        call()
    return int(counted.get_total_flops())
