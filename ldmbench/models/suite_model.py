"""A model as a suite uses it, trained here or loaded: its conditions, samples and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.catalog.tasks import FROM_TRUTH
from ldmbench.errors import InputError
from ldmbench.models.conditions import null_class_of
from ldmbench.models.flops import count_flops
from ldmbench.models.model import Model, to_uint8
from ldmbench.models.subject import Work, evaluations_of, finite
from ldmbench.models.tasks import Truth, condition_of, painted
from ldmbench.sample import Schedule, initial_noise
from ldmbench.schema.params import Sampling

__all__ = ["SuiteModel"]

Images = NDArray[np.uint8]


class SuiteModel:
    """A model that samples exactly as its `sample` does.

    Attributes:
        model: what `ldmbench.models.load` returned, or what was trained here.
        given: how conditions are made of real images.
        batch: of training, where it was trained here.
        factors: height and width of samples in those of training.
        guide: a model that guides it, in place of itself without its condition.
    """

    def __init__(
        self,
        model: Model,
        given: Mapping[str, str] | None = None,
        *,
        batch: int | None = None,
        factors: tuple[int, int] = (1, 1),
        guide: Model | None = None,
    ) -> None:
        self.model, self.given, self.batch = model, dict(given or {}), batch
        self.factors, self.guide = factors, guide

    def enlarged(self, factors: tuple[int, int]) -> SuiteModel:
        """Return the model at another size of its samples: its networks are convolutional."""
        return SuiteModel(
            self.model, self.given, batch=self.batch, factors=factors, guide=self.guide
        )

    def guided_by(self, guide: Model | None) -> SuiteModel:
        """Return the model with one that guides it; None is itself without its condition."""
        return SuiteModel(
            self.model, self.given, batch=self.batch, factors=self.factors, guide=guide
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, h, w) of a latent: at the resolution of training, times the factors."""
        channels, height, width = self.model.info.latent_shape
        return channels, height * self.factors[0], width * self.factors[1]

    @property
    def schedule(self) -> Schedule:
        """Return the forward process."""
        assert self.model.info.schedule is not None
        return self.model.info.schedule

    @property
    def needs_truth(self) -> bool:
        """Tell whether the task starts from real images."""
        return self.model.info.conditioning in FROM_TRUTH

    def condition(
        self, *, captions: Sequence[str] | None, labels: Any | None, truth: Truth | None = None
    ) -> Any:
        """Return labels (N,), a list of prompts, or the task's tensors, by what the model takes.

        Raises:
            InputError: a class that no training image had.
        """
        kind = self.model.info.conditioning
        if kind == "class":
            self._check_classes(labels)
            return torch.as_tensor(labels, dtype=torch.int64)
        if kind in FROM_TRUTH:
            assert truth is not None
            side = self.model.info.latent_shape[1]
            return condition_of(
                self.model.condition, truth, self.given, side=side, factors=self.factors
            )
        return list(captions or ()) if kind == "text" else None

    def _check_classes(self, labels: Any) -> None:
        """Refuse a label that a model trained here has as that of no class."""
        known, most = null_class_of(self.model.condition), max(labels, default=-1)
        if self.batch is not None and known is not None and most >= known:
            raise InputError(
                f"the data have label {most}, but the model was trained on {known} classes;"
                " state data.NAME.classes, or train on images of all classes"
            )

    def draw(
        self, noise: Tensor, *, condition: Any, params: Sampling, seeds: Sequence[int]
    ) -> Images:
        """Sample, decode, quantise; rules that `params` leaves open are the source's.

        Pixels that an LDM inpainting model was shown are put back, as its script does.
        """
        latents = self.model.sample(
            noise,
            steps=params.steps,
            eta=params.eta,
            cond=condition,
            guidance=params.guidance,
            guidance_interval=params.guidance_interval,
            sampler=params.sampler,
            timesteps=params.timesteps,
            seeds=seeds,
            decode=False,
            guide=self.guide,
        )
        assert isinstance(latents, Tensor)
        decoded = finite(self.decode(finite(latents, "the denoiser")), "the first stage")
        made = to_uint8(decoded, params.quantize or self.model.info.quantize)
        kind = self.model.info.conditioning
        is_pasted = kind == "inpainting" and isinstance(condition, Tensor)
        return painted(made, condition) if is_pasted else made

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
    def work(self, params: Sampling) -> Work:
        """Count one evaluation and one decoding as they run."""
        parts = dict(self.model.info.parts)
        first = parts.pop("first_stage", 0)
        at = next(iter(self.model.networks()["denoiser"].parameters())).device
        z, t = torch.zeros((1, *self.shape), device=at), torch.zeros(1, device=at).long()
        f = self.model.info.f
        blank = Truth.blank(self.shape[1] * f, self.shape[2] * f)
        cond = self.condition(captions=[""], labels=[0], truth=blank)
        inputs = self.model.condition.inputs(cond, z)
        asked, guided = self._evaluations(params, cond)
        return Work(
            evaluations=asked,
            guided=guided,
            denoiser=count_flops(lambda: self.model.predict(z, t, inputs)),
            condition=count_flops(lambda: self.model.condition.inputs(cond, z)),
            decoder=count_flops(lambda: self.model.decode(z)),
            parameters=sum(parts.values()),
            autoencoder_parameters=first,
            batch=self.batch,
            **self._guide_work(z, t, cond),
        )

    def _guide_work(self, z: Tensor, t: Tensor, cond: object) -> dict[str, int]:
        """Return the FLOPs of the model that guides, as `Work` has them."""
        guide = self.guide
        if guide is None:
            return {}
        inputs = guide.condition.inputs(cond, z)
        return {
            "guide": count_flops(lambda: guide.predict(z, t, inputs)),
            "guide_condition": count_flops(lambda: guide.condition.inputs(cond, z)),
        }

    def _evaluations(self, params: Sampling, cond: object) -> tuple[int, int]:
        """Return the evaluations of a sample, and those in guidance; counted if adaptive."""
        if not SAMPLERS[params.sampler].adaptive:
            return evaluations_of(self.model.info, params)
        network, sizes = self.model.networks()["denoiser"], list[int]()
        at = next(iter(network.parameters())).device
        noise = initial_noise([0], seed=params.seed, shape=self.shape).to(at)
        hooks = [network.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))]
        beside = list[int]()
        if self.guide is not None:
            other = self.guide.networks()["denoiser"]
            hooks.append(other.register_forward_pre_hook(lambda _, args: beside.append(1)))
        try:
            self.model.sample(
                noise,
                steps=params.steps,
                cond=cond,
                guidance=params.guidance,
                guidance_interval=params.guidance_interval,
                sampler=params.sampler,
                decode=False,
                guide=self.guide,
            )
        finally:
            for hook in hooks:
                hook.remove()
        return len(sizes), sum(size > 1 for size in sizes) + len(beside)
