"""What is benchmarked, behind one interface; here the interface and the models trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ldmbench.errors import InputError
from ldmbench.models.autoencoder import FirstStage
from ldmbench.models.denoiser import Denoiser
from ldmbench.models.load_model import to_uint8
from ldmbench.models.tasks import Truth
from ldmbench.sample import Schedule
from ldmbench.sample.guidance import guided
from ldmbench.sample.solvers import evaluations, sample

__all__ = ["Subject", "Trained", "Work", "counted", "evaluations_of", "finite"]

Images = NDArray[np.uint8]


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

    def condition(
        self, *, captions: Sequence[str] | None, labels: Any | None, truth: Truth | None = None
    ) -> Any:
        """Return what the model is told of some images; None when it is told nothing.

        Args:
            captions: one text per image.
            labels: one class per image.
            truth: the images themselves, for tasks that start from them (`needs_truth`).
        """
        ...

    @property
    def needs_truth(self) -> bool:
        """Tell whether conditions are made of real images."""
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

    needs_truth = False

    def condition(
        self, *, captions: Sequence[str] | None, labels: Any | None, truth: Truth | None = None
    ) -> Any:
        """Return the sequence to attend to, (N, L, channels), or None.

        Raises:
            InputError: a class that no training image had.
        """
        by_class = self.denoiser.params.conditioning == "class"
        known = self.denoiser.classes if by_class else None
        most = -1 if labels is None else max(labels, default=-1)
        if known is not None and most >= known:
            raise InputError(
                f"the data have label {most}, but the model was trained on {known} classes;"
                " state data.NAME.classes, or train on images of all classes"
            )
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
        images = finite(self.decode(finite(latents, "the denoiser")), "the first stage")
        return to_uint8(images, params.get("quantize") or "round")

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
        return replace(self._parts, evaluations=evaluations_of(self.schedule, params))

    @cached_property
    def _parts(self) -> Work:
        """What its networks take, however often they are called."""
        side = self.shape[1] * self.autoencoder.f
        return Work(
            denoiser=self.denoiser.flops_per_image(),
            condition=self.denoiser.condition_flops(),
            decoder=self.autoencoder.flops(side)[1],
            parameters=self.denoiser.parameter_count,
            autoencoder_parameters=self.autoencoder.parameters,
            batch=self.denoiser.params.batch,
        )


def evaluations_of(schedule: Schedule, params: Mapping[str, Any]) -> int:
    """Return the evaluations of the denoiser that a way of sampling takes."""
    return evaluations(
        params["sampler"], params["steps"], schedule=schedule, timesteps=params["timesteps"]
    )


def counted(call: Any) -> int:
    """Return the FLOPs of a call as it runs."""
    with FlopCounterMode(display=False) as seen:
        call()
    return int(seen.get_total_flops())


def finite(x: Tensor, what: str) -> Tensor:
    """Return x, if it is finite.

    Raises:
        InputError: it is not; NaN would become black pixels unseen.
    """
    if not bool(torch.isfinite(x).all()):
        raise InputError(
            f"{what} gave values that are not finite (NaN or infinite); its weights are damaged,"
            " its training has diverged, or the precision is too low for it"
        )
    return x
