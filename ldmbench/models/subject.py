"""What is benchmarked: a model (suite_model.py) or the user's own code (call.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldmbench.errors import InputError
from ldmbench.models.model import Info
from ldmbench.models.tasks import Truth
from ldmbench.sample.flow import evaluations as flow_evaluations
from ldmbench.sample.solvers import evaluations
from ldmbench.schema.params import Sampling

__all__ = ["Subject", "Work", "evaluations_of", "finite"]

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Work:
    """What a sampled image takes, counted; None where it cannot be seen.

    Attributes:
        evaluations: of the denoiser, without those of guidance.
        guided: how many of these ask twice where there is guidance.
        denoiser: FLOPs of one evaluation on one image.
        condition: FLOPs of encoding one condition.
        decoder: FLOPs of decoding one latent.
        whole: FLOPs of one image, where its parts are not known.
        parameters: of the denoiser and its condition.
        autoencoder_parameters: of the first stage.
        batch: of training, where it was trained here.
        guide: FLOPs of one evaluation of another model that guides; 0 where the model itself does.
        guide_condition: FLOPs of encoding its condition.
    """

    evaluations: int | None = None
    guided: int = 0
    denoiser: int = 0
    condition: int = 0
    decoder: int = 0
    whole: int | None = None
    parameters: int | None = None
    autoencoder_parameters: int | None = None
    batch: int | None = None
    guide: int = 0
    guide_condition: int = 0


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
        """Return the conditions of some images; None for an unconditional model.

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
        self, noise: Tensor, *, condition: Any, params: Sampling, seeds: Sequence[int]
    ) -> Images:
        """Return images uint8 NHWC of noise (B, C, h, w), float32, N(0, 1).

        Args:
            noise: where sampling starts.
            condition: of `condition`.
            params: sampler, steps, eta, guidance, timesteps, quantize.
            seeds: one per sample, for noise that is drawn on the way.
        """
        ...

    def work(self, params: Sampling) -> Work:
        """Return what one image takes."""
        ...


def evaluations_of(info: Info, params: Sampling) -> tuple[int, int]:
    """Return the evaluations of the denoiser that a way of sampling takes, and those in guidance.

    Raises:
        InputError: a sampler that chooses its steps as it goes.
    """
    way: dict[str, Any] = {"sampler": params.sampler, "steps": params.steps}
    if info.flow is not None:
        count = partial(flow_evaluations, info.flow, **way)
    else:
        assert info.schedule is not None
        count = partial(evaluations, schedule=info.schedule, timesteps=params.timesteps, **way)
    asked = count()
    return asked, count(guidance=2.0, interval=params.guidance_interval) - asked


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
