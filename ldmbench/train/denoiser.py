"""Training a denoiser: the loss of arXiv:2112.10752, equations 2 and 3, with EMA weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ldmbench.canonical import digest
from ldmbench.data.batches import BatchOrder
from ldmbench.errors import InputError
from ldmbench.models.conditioner import NOTHING, Brought
from ldmbench.models.denoiser import Denoiser, build_denoiser
from ldmbench.models.dropout import draw_from
from ldmbench.models.ema import Ema
from ldmbench.models.model import Model
from ldmbench.models.start import start_weights
from ldmbench.schema.models import Budget, DenoiserParams
from ldmbench.seeds import derive_seed
from ldmbench.tensors.numerics import autocast, layout_of, tf32
from ldmbench.train.checkpoint import (
    module_tensors,
    optimizer_tensors,
    restore_module,
    restore_optimizer,
)
from ldmbench.train.crew import Crew, crew_of
from ldmbench.train.draws import Draws, draws_at, generators_at, parts_of
from ldmbench.train.forward import forward_of
from ldmbench.train.inputs import (
    Batches,
    Contexts,
    Images,
    Latents,
    Truths,
    latents_at,
    pixels_at,
    scaled,
)
from ldmbench.train.limit import limit_of
from ldmbench.train.loop import Cost, Report, run_job
from ldmbench.train.memory import within_memory
from ldmbench.train.optimizer import adamw, bound_gradients, gradient_norm, gradients_of, set_rate
from ldmbench.train.schedules import falling, linear_warmup
from ldmbench.train.states import States
from ldmbench.train.telemetry import Stopwatch

__all__ = ["DenoiserJob", "train_denoiser"]


class DenoiserJob:
    """A denoiser, its average and its optimiser."""

    def __init__(
        self,
        params: DenoiserParams,
        model: Denoiser,
        *,
        images: Images,
        latents: Latents | None = None,
        contexts: Contexts | None = None,
        truth: Truths | None = None,
        order: BatchOrder,
        device: torch.device,
        crew: Crew | None = None,
    ) -> None:
        self.params, self.truth, self.crew = params, truth, crew or Crew()
        self.layout = layout_of(params.precision, compiles=bool(params.compile))
        self.model = model.to(device).to(memory_format=self.layout).train()
        self.images, self.latents, self.order = images, latents, order
        self.contexts = contexts
        self.batches = Batches(self._read, device)
        self.device = device
        self.batch = params.batch
        self.flops_per_image = 3.0 * (model.flops_per_image() + model.condition_flops())
        if self.model.frozen is not None:
            null = None if contexts is None else torch.tensor(contexts.null)
            self.model.frozen.begin(device, null)
        self.parameters = model.parameter_count
        self.rows, self.accumulate = self.crew.rows(params.batch), params.accumulate
        self.ema = Ema(self.model, params.ema_decay, warmup=params.ema_warmup)
        self.optimizer = adamw(self.model.parameters(), params, lr=params.learning_rate)
        self.network = torch.compile(self.model) if params.compile else self.model
        self.clock, self.rate = Stopwatch(device), params.learning_rate
        self.unclipped: Tensor | None = None
        self.forward = forward_of(params, device)

    def step(self, n: int, fraction: float) -> Tensor:
        """Do one optimiser step on a batch; return its loss."""
        self.rate = linear_warmup(self.params.learning_rate, n, warmup=self.params.warmup)
        self.rate = falling(self.rate, fraction, schedule=self.params.schedule)
        loss = within_memory(self, lambda: self.gradients(n))
        self.crew.add_up([loss, *gradients_of(self.model.parameters())])
        with self.clock.part("optimiser"):
            if self.params.clip:
                self.unclipped = bound_gradients(self.model.parameters(), self.params.clip)
            set_rate(self.optimizer, self.rate)
            self.optimizer.step()
            self.ema.update(self.model, n)
        return loss

    def gradients(self, n: int) -> Tensor:
        """Leave the gradients of step n's batch in the weights; return its loss.

        Of a batch that is computed in parts the gradients are those of the whole batch, up to the
        order of additions. `rows` are the part of the batch that is computed here.
        """
        with self.clock.part("data"):
            shown, *cond = self.batches.at(n)
            cond = [self._encoded(part) for part in cond]
            draws = draws_at(
                n,
                seed=self.params.train_seed,
                shape=(self.batch, *self.model.shape),
                times=self.forward.times,
                drop=self.params.dropped,
                device=self.device,
            )
            total = torch.zeros((), device=self.device)
        with self.clock.part("network"), tf32(self.params.precision):
            self.optimizer.zero_grad(set_to_none=True)
            for rows in parts_of(self.rows, self.accumulate):
                share = (rows.stop - rows.start) / self.batch
                self._draw_masks(n, rows)
                loss = share * self.loss(shown[rows], [part[rows] for part in cond], draws.of(rows))
                loss.backward()
                total += loss.detach()
        return total

    def _encoded(self, cond: Tensor) -> Tensor:
        """Return contexts of a batch's captions where a frozen encoder reads them in training.

        Of other conditions, themselves. Rows that are not computed here are left empty.
        """
        frozen = self.model.frozen
        if frozen is None or self.contexts is not None:
            return cond
        found = frozen.read(cond[self.rows])
        whole = found.new_zeros((len(cond), *found.shape[1:]))
        whole[self.rows] = found
        return whole

    def _draw_masks(self, n: int, rows: slice) -> None:
        """Let dropout draw the masks of some images of step n's batch."""
        if self.params.dropout:
            seed = self.params.train_seed
            draw_from(self.model, generators_at(n, seed=seed, rows=rows, device=self.device))

    def gradient_norm(self) -> Tensor:
        """Return the norm of the last step's gradients, before they were clipped."""
        return gradient_norm(self.model.parameters()) if self.unclipped is None else self.unclipped

    def loss(self, shown: Tensor, cond: list[Tensor], draws: Draws) -> Tensor:
        """Return the mean squared error of some images, of what the objective asks for.

        Args:
            shown: latents (N, C, h, w), or pixels, uint8 NHWC.
            cond: their conditions; empty where there are none.
            draws: theirs.
        """
        z0 = scaled(shown) if self.latents is None else shown
        levels = signal, spread = self.forward.levels(draws.times)
        z = signal * z0 + spread * draws.noise
        z = z.contiguous(memory_format=self.layout)
        with autocast(self.params.precision, self.device):
            predicted = self.network(z, draws.times, *cond, dropped=draws.dropped)
        return self.forward.loss(predicted.float(), z0, draws.noise, levels)

    def tensors(self) -> dict[str, Tensor]:
        """Return weights, average and optimiser state."""
        average = {f"ema.{name}": t for name, t in self.ema.weights.items()}
        return (
            module_tensors(self.model, "model")
            | optimizer_tensors(self.optimizer, "optimizer")
            | average
        )

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put them back."""
        restore_module(self.model, tensors, "model")
        restore_optimizer(self.optimizer, tensors, "optimizer")
        self.ema.load({name: tensors[f"ema.{name}"] for name in self.ema.weights})

    def keep(self, folder: Path) -> None:
        """Write the averaged weights, and the raw ones beside."""
        raw = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        try:
            self.model.overwrite(self.ema.weights)
            self.model.save(folder, raw=raw, apart=self.latents is not None)
        finally:
            self.model.overwrite(raw)

    def _read(self, n: int) -> tuple[Tensor, ...]:
        """Return latents, or pixels where there are none, and their conditions, on the CPU.

        Masks depend on the step and the index in the batch.
        """
        at = self.order.at(n)
        shown = pixels_at(self.images, at) if self.latents is None else latents_at(self.latents, at)
        cond = None
        match self.model.task.input:
            case "caption" if self.contexts is not None:
                cond = torch.from_numpy(self.contexts.read(at))
            case "caption":
                cond = self.model.conditions(captions=self.images.captions(at))
            case "class":
                cond = self.model.conditions(labels=self.images.labels(at))
            case "truth":
                assert self.truth is not None
                drawn = n * self.batch + np.arange(len(at))
                truth = replace(self.truth.at(at), indices=drawn)
                cond = self.model.conditions(truth=truth, seed=1 + self.params.train_seed)
        return (shown,) if cond is None else (shown, cond)


def train_denoiser(
    params: DenoiserParams,
    budget: Budget,
    *,
    images: Images,
    latents: Latents | None = None,
    contexts: Contexts | None = None,
    latent_shape: tuple[int, int, int],
    brought: Brought = NOTHING,
    truth: Truths | None = None,
    start: Model | None = None,
    devices: int = 1,
    states: Path | None = None,
    device: str | torch.device,
    scratch: Path,
    output: Path,
    report: Report,
    checkpoint_seconds: float = 20.0,
) -> Cost:
    """Train a denoiser and write it as a diffusers folder, with curve.jsonl and cost.json.

    Args:
        params: network, schedule and optimiser.
        budget: steps, images, FLOPs of the denoiser or minutes.
        images: captions and labels, and the images themselves when there are no latents.
        latents: what the first stage made of the images; None trains on pixels.
        contexts: what a frozen text encoder made of the captions; None: it reads each batch.
        latent_shape: (C, h, w) of one latent, or of one image.
        brought: what data and first stage bring to the condition.
        truth: all that is known of the images, for tasks that are made of real images.
        start: whose weights the training starts from; None starts from random ones.
        devices: processes that train it together, this one among them.
        states: a folder of the states in which shorter trainings ended; gets this one's.
        device: where to train.
        scratch: kept between attempts: checkpoints.
        output: where the weights go; at-0.50/ and the like for `params.checkpoints`.
        report: called with the share that is done and a note, about twice a second.
        checkpoint_seconds: how much work a kill may lose.

    Raises:
        InputError: if the images are fewer than a batch, or do not match the latents; if `start`
            has another network.
        StageError: if the loss is no longer finite.
    """
    if latents is not None and len(latents) != len(images):
        raise InputError(
            f"there are {len(latents)} latents for {len(images)} images; encode them all"
        )
    place = torch.device(device)
    # The network, from a seed of its own.
    model = build_denoiser(
        params,
        latent_channels=latent_shape[0],
        latent_size=latent_shape[1],
        brought=brought,
        seed=derive_seed("denoiser-weights", params.train_seed),
    )

    if start is not None:
        model.overwrite(start_weights(model, start))

    # The order of images, and the loop over them.
    order = BatchOrder(
        len(images),
        batch_size=params.batch,
        seed=derive_seed("denoiser-order", params.train_seed),
    )
    crew = crew_of(devices, place)
    job = DenoiserJob(
        params,
        model,
        images=images,
        latents=latents,
        contexts=contexts,
        truth=truth,
        order=order,
        device=place,
        crew=crew,
    )
    limit = limit_of(budget, batch=params.batch, flops_per_image=job.flops_per_image)
    cost = run_job(
        job,
        limit,
        recipe=digest([params.model_dump(mode="json"), budget.model_dump(mode="json")]),
        scratch=scratch,
        output=output,
        report=report,
        checkpoints=params.checkpoints,
        states=States(states, limit, params.checkpoints, place) if states else None,
        checkpoint_seconds=checkpoint_seconds,
    )
    crew.end()
    if model.frozen is not None:
        model.frozen.to("cpu")  # it stays in memory for the next training
    return cost
