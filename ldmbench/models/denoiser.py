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

from ldmbench.catalog.tasks import TASKS, joined_channels
from ldmbench.errors import InputError
from ldmbench.models.conditioner import NOTHING, Brought, build_condition
from ldmbench.models.conditions import Condition, Inputs, Prompts, TokenBoxes
from ldmbench.models.diffusers.writer import as_diffusers, write_folder
from ldmbench.models.dit import build_dit
from ldmbench.models.dropout import replace_dropout
from ldmbench.models.files import blank, seeded
from ldmbench.models.first_stage import Identity
from ldmbench.models.flops import count_flops
from ldmbench.models.frozen_text import FrozenText, width_of
from ldmbench.models.model import Info, Model, evaluate
from ldmbench.models.tasks import Truth, condition_of
from ldmbench.models.unet import build_unet
from ldmbench.sample.objectives import flow_of, schedule_of
from ldmbench.schema.base import with_former_names
from ldmbench.schema.models import DenoiserParams
from ldmbench.schema.networks import Network
from ldmbench.sources.models.diffusers_config import APART

__all__ = ["RAW", "Denoiser", "build_denoiser"]

RAW = "non_ema"
"""diffusers' word in file names for weights that are not averaged."""
FLOW_TIME_SCALE = 1000.0
"""What times of a flow are multiplied by for the network, as diffusers' scheduler has it."""


class NetworkKind(NamedTuple):
    """A kind of network.

    Attributes:
        part: its name in diffusers folders.
        build: returns one with fresh weights; see `build_unet`.
    """

    part: str
    build: Callable[..., nn.Module]


NETWORKS: dict[Network, NetworkKind] = {
    "unet": NetworkKind("unet", build_unet),
    "dit": NetworkKind("transformer", build_dit),
}


class Denoiser(nn.Module):
    """A network and its conditioner while they are trained; `model` is what they become.

    Attributes:
        params: what it was built from.
        shape: (C, h, w) of one latent.
        brought: what data and first stage bring to its condition.
        condition: what it is conditioned on.
        conditioner: the network of the condition, trained with it; None where there is none.
        schedule: the diffusion in betas that it is trained under, or None.
        flow: the flow that it is trained under, or None.
    """

    def __init__(
        self,
        params: DenoiserParams,
        *,
        latent_channels: int,
        latent_size: int,
        brought: Brought = NOTHING,
    ) -> None:
        super().__init__()
        self.params, self.brought = params, brought
        self.shape = (latent_channels, latent_size, latent_size)
        self.task = TASKS[params.conditioning]
        if self.task.name == "class" and brought.classes < 1:
            raise InputError(
                "conditioning 'class' needs a dataset with class labels, this one has none; "
                "use conditioning 'none' or 'caption'"
            )
        self.schedule, self.flow = schedule_of(params), flow_of(params)
        self.time_scale = 1.0 if self.flow is None else FLOW_TIME_SCALE
        self.kind = NETWORKS[params.network]
        joined = joined_channels(
            self.task.name,
            channels=latent_channels,
            side=latent_size,
            f=brought.f,
            scale=params.scale,
        )
        self.condition: Condition
        parts: dict[str, Any] = {"joined": joined} if joined else {}  # a dit takes neither
        if params.text_encoder:  # it draws no weights, so it may come first
            self.condition = build_condition(params, self.shape, brought)
            parts["context"] = width_of(self.condition)
        network = self.kind.build(
            params,
            channels=latent_channels,
            side=latent_size,
            classes=brought.classes if params.reads_labels else 0,
            **parts,
        )
        replace_dropout(network)
        self.add_module(self.kind.part, network)  # so are its weights named, in checkpoints too
        self.conditioner: nn.Module | None = None
        self.frozen: FrozenText | None = None
        if params.text_encoder:
            self.frozen = FrozenText(self._prompts)
        else:
            self.condition = build_condition(params, self.shape, brought)
            self.conditioner = next(iter(self.condition.parts().values()), None)
        self._null: Tensor | None = None

    @property
    def network(self) -> Any:
        """Return the network alone, one of diffusers' interface."""
        return getattr(self, self.kind.part)

    def forward(
        self, z: Tensor, t: Tensor, cond: Tensor | None = None, dropped: Tensor | None = None
    ) -> Tensor:
        """Return what the network is trained to return, like z.

        Args:
            z: noisy latents, NCHW float32.
            t: timesteps, integers (N,) in [0, T); times of a flow, float32 (N,) in [0, 1].
            cond: what `conditions` returned; None where there is no condition.
            dropped: bool (N,), where the condition is not shown.
        """
        t = t if self.time_scale == 1 else t * self.time_scale
        return evaluate(self.network, z, t, self._inputs(z, cond, dropped))

    def _inputs(self, z: Tensor, cond: Tensor | None, dropped: Tensor | None) -> Inputs:
        """Return the network's inputs, those of dropped images being the null condition."""
        if cond is None:
            return {}
        if self.task.joins:
            joined = self.condition.inputs(cond, z)["concat"]
            return {"concat": joined if dropped is None else joined * ~dropped[:, None, None, None]}
        if self.frozen is not None:
            return {"context": self.frozen.context(cond, dropped, z)}
        if dropped is not None:
            if self._null is None:
                self._null = self._rows(1).to(z.device)
            where = dropped[:, None] if cond.ndim == 2 else dropped
            cond = torch.where(where, self._null, cond)
        if self.conditioner is None:
            return {"labels": cond}
        found = self.conditioner(cond)
        return {"context": found if isinstance(found, Tensor) else found[0]}

    def conditions(
        self,
        *,
        captions: Sequence[str] | None = None,
        labels: Any | None = None,
        truth: Truth | None = None,
        seed: int = 0,
    ) -> Tensor | None:
        """Return the condition of images, on the CPU.

        Token ids (N, L) or classes (N,), int64; a layout, a map or an image, as `condition_of`
        makes them; None where there is no condition.

        Args:
            captions: N texts.
            labels: N classes.
            truth: the images and what is known of them.
            seed: of masks.

        Raises:
            InputError: if the model needs captions or labels and they were not given; also for a
                label that is no class.
        """
        if self.task.input == "none":
            return None
        if self.task.input == "truth":
            assert truth is not None
            made: Tensor = condition_of(self.condition, truth, {}, side=self.shape[1], seed=seed)
            return made
        if self.task.input == "caption":
            if captions is None:
                raise InputError("this model is conditioned on captions; give one for each image")
            return self._prompts.tokens(captions)
        if labels is None:
            raise InputError("this model is conditioned on classes; give a label for each image")
        rows = torch.as_tensor(labels, dtype=torch.int64)
        classes = self.brought.classes
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) <= classes:
            raise InputError(
                f"class labels lie in [0, {classes}), {classes} being no class; "
                f"found {int(rows.min())} to {int(rows.max())}"
            )
        return rows

    @property
    def _prompts(self) -> Prompts:
        assert isinstance(self.condition, Prompts)
        return self.condition

    def null_ids(self, n: int) -> Tensor | None:
        """Return the ids of `n` images that are shown no condition; None of tasks without ids."""
        return None if self.task.joins or self.task.input == "none" else self._rows(n)

    def _rows(self, n: int) -> Tensor:
        if isinstance(self.condition, TokenBoxes):
            places = int(self.condition.encoder.config.max_position_embeddings)
            return torch.zeros((n, places), dtype=torch.int64)
        if self.task.input == "caption":
            return self._prompts.tokens([""]).expand(n, -1)
        return torch.full((n,), self.brought.classes)

    @property
    def parameter_count(self) -> int:
        """Number of weights, the conditioner's included."""
        return sum(p.numel() for p in self.parameters())

    def flops_per_image(self) -> int:
        """Return the FLOPs of one evaluation of the network on one image, 2 per multiply-add."""
        empty, width = self._empty(), self.params.context_channels
        z, t = torch.empty(1, *self.shape, device="meta"), torch.zeros(1, device="meta")
        inputs: Inputs = {}
        if self.task.joins:
            joined = int(self.network.config.in_channels) - self.shape[0]
            inputs["concat"] = torch.empty(1, joined, *self.shape[1:], device="meta")
        elif self.frozen is not None:
            size = (1, self._prompts.length, width_of(self.condition))
            inputs["context"] = torch.empty(size, device="meta")
        elif empty.conditioner is not None:
            length = self._rows(1).shape[1] if self.task.name != "class" else 1
            inputs["context"] = torch.empty(1, length, width, device="meta")
        elif self.task.name == "class":
            inputs["labels"] = self._rows(1).to("meta")
        return count_flops(lambda: evaluate(empty.network, z, t, inputs))

    def condition_flops(self) -> int:
        """Return the FLOPs of encoding one image's condition by a network that is trained."""
        empty = self._empty()
        conditioner = empty.conditioner
        if conditioner is None:
            return 0
        if self.task.joins:
            side = self.shape[1] * self.brought.f
            ids = torch.zeros((1, side, side), dtype=torch.int64)
            whole = torch.nn.functional.one_hot(ids, self.brought.classes + 1)
            shown = whole.permute(0, 3, 1, 2).float().to("meta")
            return count_flops(lambda: conditioner(shown))
        return count_flops(lambda: conditioner(self._rows(1).to("meta")))

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
            flow=self.flow,
            timesteps=self.schedule.spacing if self.schedule else None,
            time_scale=self.time_scale,
            weights="ema",
        )
        return Model(info, Identity(), network=self.network, condition=self.condition)

    def save(self, folder: Path, *, raw: dict[str, Tensor], apart: bool) -> None:
        """Write a diffusers folder: the weights as they are, and the raw ones beside.

        Args:
            folder: is made.
            raw: the weights that are not averaged, by their names here.
            apart: whether it works on the latents of a first stage, which has its own folder.
        """
        facts = {APART: True} if apart else {}
        params = with_former_names(DenoiserParams, self.params.model_dump(mode="json"))
        write_folder(self.model(), folder, kind="denoiser", params=params, **facts)
        averaged = {name: p.detach().clone() for name, p in self.named_parameters()}
        parts = {self.kind.part: self.network, **({} if self.frozen else self.condition.parts())}
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

    def _empty(self) -> Denoiser:
        return blank(
            lambda: Denoiser(
                self.params,
                latent_channels=self.shape[0],
                latent_size=self.shape[1],
                brought=self.brought,
            )
        ).eval()


def build_denoiser(
    params: DenoiserParams,
    *,
    latent_channels: int,
    latent_size: int,
    brought: Brought = NOTHING,
    seed: int,
) -> Denoiser:
    """Return a denoiser with fresh weights that depend on `seed` alone.

    Args:
        params: the network.
        latent_channels: C of a latent.
        latent_size: h = w of a latent.
        brought: what data and first stage bring to its condition.
        seed: of the initial weights.

    Raises:
        InputError: if the multipliers halve the latent more often than its side allows.
    """
    return seeded(
        lambda: Denoiser(
            params, latent_channels=latent_channels, latent_size=latent_size, brought=brought
        ),
        seed,
    )
