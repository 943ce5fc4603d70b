"""Denoisers: a UNet on latents or pixels, with its conditioner (arXiv:2112.10752, 3.2 and 3.3).

The networks are diffusers' UNet2DModel (no condition) and UNet2DConditionModel (classes and
captions, through cross-attention).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ldmbench.errors import InputError
from ldmbench.models.conditioner import CaptionEncoder, ClassEncoder, build_conditioner
from ldmbench.models.files import (
    blank,
    read_card,
    read_weights,
    seeded,
    write_card,
    write_weights,
)
from ldmbench.models.tokenizer import LENGTH, tokenize
from ldmbench.sample.schedule import Schedule
from ldmbench.schema.models import DenoiserParams

__all__ = ["Denoiser", "build_denoiser", "load_denoiser"]

UNET = "unet/diffusion_pytorch_model.safetensors"
CONDITIONER = "conditioner.safetensors"


class Denoiser(nn.Module):
    """Predicts the noise (or v) in noisy latents.

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
        self._levels: dict[torch.device, Tensor] = {}
        self.unet: Any = _unet(params, latent_channels, latent_size)
        self.conditioner: CaptionEncoder | ClassEncoder | None = build_conditioner(
            params.conditioning, channels=params.context_channels, classes=classes
        )

    def forward(self, z: Tensor, t: Tensor, ids: Tensor | None) -> Tensor:
        """Encode the condition ids and predict; what training calls."""
        return self.predict(z, t, self.embed(ids))

    def predict(self, z: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return what the network was trained to return, eps or v, like z.

        Args:
            z: noisy latents, NCHW float32.
            t: timesteps, integers (N,) in [0, T).
            cond: what `condition` returned; None means no condition.
        """
        if self.conditioner is None:
            out: Tensor = self.unet(z, t, return_dict=False)[0]
            return out
        context = self.null_condition(len(z)) if cond is None else cond
        predicted: Tensor = self.unet(z, t, context, return_dict=False)[0]
        return predicted

    def eps(self, z: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return the predicted noise; v is converted (arXiv:2202.00512, Appendix D).

        eps = sqrt(abar_t) v + sqrt(1 - abar_t) z_t.
        """
        predicted = self.predict(z, t, cond)
        if self.params.prediction == "eps":
            return predicted
        signal, noise = self.levels(t)
        return signal.to(z) * predicted + noise.to(z) * z

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return sqrt(abar_t) and sqrt(1 - abar_t), float32 (N, 1, 1, 1), on t's device."""
        if t.device not in self._levels:
            abar = torch.from_numpy(self.schedule.alphas_cumprod()).view(-1, 1, 1, 1)
            table = torch.stack([abar.sqrt(), (1 - abar).sqrt()]).float()
            self._levels[t.device] = table.to(t.device)
        signal, noise = self._levels[t.device][:, t]
        return signal, noise

    def condition(
        self, *, captions: Sequence[str] | None = None, labels: Any | None = None
    ) -> Tensor | None:
        """Return the sequence to attend to, float32 (N, L, context_channels), or None.

        Raises:
            InputError: if the model needs captions or labels and they were not given.
        """
        return self.embed(self.ids(captions=captions, labels=labels))

    def null_condition(self, n: int) -> Tensor | None:
        """Return the condition of `n` images that are shown none."""
        return self.embed(self.null_ids(n))

    def ids(
        self, *, captions: Sequence[str] | None = None, labels: Any | None = None
    ) -> Tensor | None:
        """Return int64 (N, L) token or class ids on the CPU, or None.

        Raises:
            InputError: as `condition`; also for a label that is no class.
        """
        if self.conditioner is None:
            return None
        if isinstance(self.conditioner, CaptionEncoder):
            if captions is None:
                raise InputError("this model is conditioned on captions; give one for each image")
            return tokenize(captions)
        if labels is None:
            raise InputError("this model is conditioned on classes; give a label for each image")
        rows = torch.as_tensor(labels, dtype=torch.int64).view(-1, 1)
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
        if isinstance(self.conditioner, ClassEncoder):
            return torch.full((n, 1), self.conditioner.null)
        return tokenize([""]).expand(n, -1)

    def embed(self, ids: Tensor | None) -> Tensor | None:
        """Encode ids on the model's device."""
        if self.conditioner is None or ids is None:
            return None
        context: Tensor = self.conditioner(ids.to(next(self.parameters()).device))
        return context

    @property
    def parameter_count(self) -> int:
        """Number of weights, the conditioner's included."""
        return sum(p.numel() for p in self.parameters())

    def flops_per_image(self) -> int:
        """Return the FLOPs of one evaluation of the UNet on one image, 2 per multiply-add."""
        empty = self._empty()
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            empty.predict(*_nothing(self.shape), _context(self.params))
        return int(counted.get_total_flops())

    def condition_flops(self) -> int:
        """Return the FLOPs of encoding one image's condition."""
        empty = self._empty()
        if empty.conditioner is None:
            return 0
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            empty.conditioner(
                torch.zeros(1, _length(self.params), dtype=torch.int64, device="meta")
            )
        return int(counted.get_total_flops())

    def save(self, folder: Path) -> None:
        """Write unet/ in diffusers' format, the conditioner's safetensors and ldmbench.json."""
        write_card(
            folder,
            "denoiser",
            params=self.params.model_dump(mode="json"),
            latent_channels=self.shape[0],
            latent_size=self.shape[1],
            classes=self.classes,
        )
        self.unet.save_pretrained(folder / "unet", safe_serialization=True)
        if self.conditioner is not None:
            write_weights(self.conditioner, folder / CONDITIONER)

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


def load_denoiser(folder: Path, *, device: str | torch.device = "cpu") -> Denoiser:
    """Read what `Denoiser.save` wrote; no code of the folder is executed.

    Raises:
        InputError: if the folder does not hold a denoiser.
    """
    card = read_card(folder, "denoiser")
    params = DenoiserParams.model_validate(card["params"])
    model = blank(
        lambda: Denoiser(
            params,
            latent_channels=int(card["latent_channels"]),
            latent_size=int(card["latent_size"]),
            classes=int(card["classes"]),
        )
    )
    read_weights(model.unet, folder / UNET, device)
    if model.conditioner is not None:
        read_weights(model.conditioner, folder / CONDITIONER, device)
    return model.eval().requires_grad_(False)


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


def _context(params: DenoiserParams) -> Tensor:
    return torch.empty(1, _length(params), params.context_channels, device="meta")


def _nothing(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    return torch.empty(1, *shape, device="meta"), torch.zeros(1, device="meta")
