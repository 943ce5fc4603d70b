"""Denoisers that are trained here: a network on latents or pixels, with its conditioner.

To train another network: its builder, and a row in `NETWORKS`; another condition: its encoder in
conditioner.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ldmbench.errors import InputError
from ldmbench.models.compvis.networks import ClassEmbedder
from ldmbench.models.conditioner import CaptionEncoder, build_conditioner
from ldmbench.models.conditions import (
    Captions,
    ClassLabels,
    ClassTokens,
    Condition,
    NoCondition,
)
from ldmbench.models.diffusers.writer import as_diffusers, write_folder
from ldmbench.models.dit import build_dit
from ldmbench.models.files import blank, seeded
from ldmbench.models.first_stage import Identity
from ldmbench.models.flops import count_flops
from ldmbench.models.hashed_words import LENGTH, tokenize
from ldmbench.models.model import Info, Model
from ldmbench.models.unet import build_unet
from ldmbench.sample.schedule import Schedule
from ldmbench.schema.models import DenoiserParams, Network
from ldmbench.sources.models.diffusers_config import APART

__all__ = ["RAW", "Denoiser", "build_denoiser"]

RAW = "non_ema"
"""diffusers' word in file names for weights that are not averaged."""


class NetworkKind(NamedTuple):
    """A kind of network.

    Attributes:
        part: its name in diffusers folders.
        build: returns one with fresh weights; see `build_unet`.
        reads_labels: whether classes are labels of the network itself, not tokens that it attends.
    """

    part: str
    build: Callable[..., nn.Module]
    reads_labels: bool = False


NETWORKS: dict[Network, NetworkKind] = {
    "unet": NetworkKind("unet", build_unet),
    "dit": NetworkKind("transformer", build_dit, reads_labels=True),
}


class Denoiser(nn.Module):
    """A network and its conditioner while they are trained; `model` is what they become.

    Attributes:
        params: what it was built from.
        shape: (C, h, w) of one latent.
        classes: number of classes it was built for; 0 when it is not shown any.
        schedule: the forward process it is trained under.
    """

    def __init__(
        self, params: DenoiserParams, *, latent_channels: int, latent_size: int, classes: int = 0
    ) -> None:
        super().__init__()
        if params.conditioning == "class" and classes < 1:
            raise InputError(
                "conditioning 'class' needs a dataset with class labels, this one has none; "
                "use conditioning 'none' or 'caption'"
            )
        self.params = params
        self.shape = (latent_channels, latent_size, latent_size)
        self.classes = classes
        self.schedule = _schedule(params)
        self.kind = NETWORKS[params.network]
        self.labelled = self.kind.reads_labels and params.conditioning == "class"
        labels = classes if self.labelled else 0
        network = self.kind.build(
            params, channels=latent_channels, side=latent_size, classes=labels
        )
        self.add_module(self.kind.part, network)  # so are its weights named, in checkpoints too
        self.conditioner: CaptionEncoder | ClassEmbedder | None = None
        if not self.labelled:
            self.conditioner = build_conditioner(
                params.conditioning, channels=params.context_channels, classes=classes
            )

    @property
    def network(self) -> Any:
        """Return the network alone, one of diffusers' interface."""
        return getattr(self, self.kind.part)

    def forward(self, z: Tensor, t: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return what the network is trained to return, like z.

        Args:
            z: noisy latents, NCHW float32.
            t: timesteps, integers (N,) in [0, T).
            ids: of the condition; None where there is none.
        """
        told = {"class_labels": ids} if self.labelled else {}
        if self.conditioner is not None:
            told = {"encoder_hidden_states": self.conditioner(ids)}
        out: Tensor = self.network(z, t, **told, return_dict=False)[0]
        return out

    def ids(
        self, *, captions: Sequence[str] | None = None, labels: Any | None = None
    ) -> Tensor | None:
        """Return token ids (N, L) or classes (N,), int64 on the CPU, or None.

        Raises:
            InputError: if the model needs captions or labels and they were not given; also for a
                label that is no class.
        """
        if self.params.conditioning == "none":
            return None
        if self.params.conditioning == "caption":
            if captions is None:
                raise InputError("this model is conditioned on captions; give one for each image")
            return tokenize(captions)
        if labels is None:
            raise InputError("this model is conditioned on classes; give a label for each image")
        rows = torch.as_tensor(labels, dtype=torch.int64)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) <= self.classes:
            raise InputError(
                f"class labels lie in [0, {self.classes}), {self.classes} being no class; "
                f"found {int(rows.min())} to {int(rows.max())}"
            )
        return rows

    def null_ids(self, n: int) -> Tensor | None:
        """Return the ids of `n` images that are shown no condition."""
        if self.params.conditioning == "none":
            return None
        if self.params.conditioning == "caption":
            return tokenize([""]).expand(n, -1)
        return torch.full((n,), self.classes)

    @property
    def parameter_count(self) -> int:
        """Number of weights, the conditioner's included."""
        return sum(p.numel() for p in self.parameters())

    def flops_per_image(self) -> int:
        """Return the FLOPs of one evaluation of the network on one image, 2 per multiply-add."""
        empty = self._empty()
        z, t = torch.empty(1, *self.shape, device="meta"), torch.zeros(1, device="meta")
        told = {"class_labels": t.long()} if self.labelled else {}
        if empty.conditioner is not None:
            size = (1, _length(self.params), self.params.context_channels)
            told = {"encoder_hidden_states": torch.empty(size, device="meta")}
        return count_flops(lambda: empty.network(z, t, **told))

    def condition_flops(self) -> int:
        """Return the FLOPs of encoding one image's condition."""
        conditioner = self._empty().conditioner
        if conditioner is None:
            return 0
        ids = self.null_ids(1)
        assert ids is not None
        return count_flops(lambda: conditioner(ids.to("meta")))

    def model(self) -> Model:
        """Return it as a model of latents, which is what can be sampled, saved and loaded."""
        info = Info(
            f=1,
            latent_shape=self.shape,
            digest="",
            source="ldmbench:ldm",
            path=Path(),
            quantize="round",
            schedule=self.schedule,
            timesteps=self.schedule.spacing,
            weights="ema",
        )
        return Model(info, Identity(), network=self.network, condition=self._condition())

    def save(self, folder: Path, *, raw: dict[str, Tensor], apart: bool) -> None:
        """Write a diffusers folder: the weights as they are, and the raw ones beside.

        Args:
            folder: is made.
            raw: the weights that are not averaged, by their names here.
            apart: whether it works on the latents of a first stage, which has its own folder.
        """
        facts = {APART: True} if apart else {}
        params = self.params.model_dump(mode="json")
        write_folder(self.model(), folder, kind="denoiser", params=params, **facts)
        averaged = {name: p.detach().clone() for name, p in self.named_parameters()}
        parts = {self.kind.part: self.network, **self._condition().parts()}
        try:
            self.overwrite(raw)
            for name, network in parts.items():
                as_diffusers(network).save_pretrained(
                    folder / name, safe_serialization=True, variant=RAW
                )
        finally:
            self.overwrite(averaged)

    @torch.no_grad()
    def overwrite(self, weights: dict[str, Tensor]) -> None:
        """Put other values into the weights, by their names."""
        for name, p in self.named_parameters():
            p.copy_(weights[name])

    def _condition(self) -> Condition:
        if self.labelled:
            return ClassLabels(self.classes, null_class=self.classes)
        if self.conditioner is None:
            return NoCondition()
        by_caption = isinstance(self.conditioner, CaptionEncoder)
        return Captions(self.conditioner) if by_caption else ClassTokens(self.conditioner)

    def _empty(self) -> Denoiser:
        return blank(
            lambda: Denoiser(
                self.params,
                latent_channels=self.shape[0],
                latent_size=self.shape[1],
                classes=self.classes,
            )
        )


def build_denoiser(
    params: DenoiserParams, *, latent_channels: int, latent_size: int, classes: int = 0, seed: int
) -> Denoiser:
    """Return a denoiser with fresh weights that depend on `seed` alone.

    Args:
        params: the network.
        latent_channels: C of a latent.
        latent_size: h = w of a latent.
        classes: number of classes of the dataset; needed for conditioning "class".
        seed: of the initial weights.

    Raises:
        InputError: if the multipliers halve the latent more often than its side allows.
    """
    return seeded(
        lambda: Denoiser(
            params, latent_channels=latent_channels, latent_size=latent_size, classes=classes
        ),
        seed,
    )


def _schedule(params: DenoiserParams) -> Schedule:
    return Schedule(
        kind=params.beta_schedule,
        start=params.beta_start,
        end=params.beta_end,
        T=params.timesteps,
        prediction="epsilon" if params.prediction == "eps" else "v_prediction",
    )


def _length(params: DenoiserParams) -> int:
    return LENGTH if params.conditioning == "caption" else 1
