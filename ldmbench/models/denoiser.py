"""Denoisers that are trained here: a UNet on latents or pixels, with its conditioner.

arXiv:2112.10752, sections 3.2 and 3.3. The networks are diffusers' UNet2DModel (no condition) and
UNet2DConditionModel (classes and captions, through cross-attention). To train another network: its
builder in `_unet`; another condition: its encoder in conditioner.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

from ldmbench.errors import InputError
from ldmbench.models.compvis.networks import ClassEmbedder
from ldmbench.models.conditioner import CaptionEncoder, build_conditioner
from ldmbench.models.conditions import Captions, ClassTokens, Condition, NoCondition
from ldmbench.models.diffusers.writer import write_folder
from ldmbench.models.files import blank, seeded
from ldmbench.models.first_stage import Identity
from ldmbench.models.flops import count_flops
from ldmbench.models.hashed_words import LENGTH, tokenize
from ldmbench.models.model import Info, Model
from ldmbench.sample.schedule import Schedule
from ldmbench.schema.models import DenoiserParams
from ldmbench.sources.models.diffusers_config import APART

__all__ = ["RAW", "Denoiser", "build_denoiser"]

RAW = "non_ema"
"""diffusers' word in file names for weights that are not averaged."""


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
        self.params = params
        self.shape = (latent_channels, latent_size, latent_size)
        self.classes = classes
        self.schedule = _schedule(params)
        self.unet: Any = _unet(params, latent_channels, latent_size)
        self.conditioner: CaptionEncoder | ClassEmbedder | None = build_conditioner(
            params.conditioning, channels=params.context_channels, classes=classes
        )

    def forward(self, z: Tensor, t: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return what the network is trained to return, like z.

        Args:
            z: noisy latents, NCHW float32.
            t: timesteps, integers (N,) in [0, T).
            ids: of the condition; None where there is none.
        """
        context = () if self.conditioner is None else (self.conditioner(ids),)
        out: Tensor = self.unet(z, t, *context, return_dict=False)[0]
        return out

    def ids(
        self, *, captions: Sequence[str] | None = None, labels: Any | None = None
    ) -> Tensor | None:
        """Return token ids (N, L) or classes (N,), int64 on the CPU, or None.

        Raises:
            InputError: if the model needs captions or labels and they were not given; also for a
                label that is no class.
        """
        if self.conditioner is None:
            return None
        if isinstance(self.conditioner, CaptionEncoder):
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
        if self.conditioner is None:
            return None
        if isinstance(self.conditioner, CaptionEncoder):
            return tokenize([""]).expand(n, -1)
        return torch.full((n,), self.classes)

    @property
    def parameter_count(self) -> int:
        """Number of weights, the conditioner's included."""
        return sum(p.numel() for p in self.parameters())

    def flops_per_image(self) -> int:
        """Return the FLOPs of one evaluation of the UNet on one image, 2 per multiply-add."""
        empty = self._empty()
        z = torch.empty(1, *self.shape, device="meta")
        width = self.params.context_channels
        context = torch.empty(1, _length(self.params), width, device="meta")
        told = () if empty.conditioner is None else (context,)
        return count_flops(lambda: empty.unet(z, torch.zeros(1, device="meta"), *told))

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
        return Model(info, Identity(), network=self.unet, condition=self._condition())

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
        parts = {"unet": self.unet, **self._condition().parts()}
        try:
            self.overwrite(raw)
            for name, network in parts.items():
                network.save_pretrained(folder / name, safe_serialization=True, variant=RAW)
        finally:
            self.overwrite(averaged)

    @torch.no_grad()
    def overwrite(self, weights: dict[str, Tensor]) -> None:
        """Put other values into the weights, by their names."""
        for name, p in self.named_parameters():
            p.copy_(weights[name])

    def _condition(self) -> Condition:
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


def default_multipliers(latent_size: int) -> tuple[int, ...]:
    """Return widths per level: halve down to a side of 4 at least, and end at 4 x channels.

    The deepest levels hold nearly all weights, so models on latents of different f have about the
    same number of parameters, as those the paper compares (Table 12).
    """
    levels = 1
    while latent_size % 2 == 0 and latent_size > 4:
        latent_size //= 2
        levels += 1
    if levels == 1 and latent_size == 4:
        return (2, 4)
    return ((1,) * 8 + (1, 2, 2, 4))[-levels:] if levels > 3 else (1, 2, 4)[-levels:]


def _schedule(params: DenoiserParams) -> Schedule:
    return Schedule(
        kind=params.beta_schedule,
        start=params.beta_start,
        end=params.beta_end,
        T=params.timesteps,
        prediction="epsilon" if params.prediction == "eps" else "v_prediction",
    )


def _unet(params: DenoiserParams, channels: int, size: int) -> Any:
    multipliers = params.multipliers or default_multipliers(size)
    sides = [size >> level for level in range(len(multipliers))]
    if sides[-1] << (len(sides) - 1) != size:
        raise InputError(
            f"denoiser.multipliers has {len(sides)} levels, which a latent of {size} x {size} "
            "cannot be halved into; give fewer, or leave it unset"
        )
    widths = tuple(params.channels * m for m in multipliers)
    attended = [side in params.attention_sizes for side in sides]
    shared: dict[str, Any] = {
        "sample_size": size,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": widths,
        "layers_per_block": params.blocks,
        "norm_num_groups": math.gcd(32, params.channels),
    }
    head = math.gcd(32, params.channels)
    if params.conditioning == "none":
        return UNet2DModel(
            **shared,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attended),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in attended[::-1]),
            attention_head_dim=head,
        )
    return UNet2DConditionModel(
        **shared,
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attended),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attended[::-1]),
        cross_attention_dim=params.context_channels,
        # diffusers takes the number of heads under this name
        attention_head_dim=tuple(width // head for width in widths),
    )


def _length(params: DenoiserParams) -> int:
    return LENGTH if params.conditioning == "caption" else 1
