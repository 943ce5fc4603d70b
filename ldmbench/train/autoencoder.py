"""Training a first stage: reconstruction, perceptual and patch-adversarial losses, and KL or VQ.

arXiv:2112.10752, section 3.1 and Appendix G; the weight of the adversarial loss is that of
arXiv:2012.09841, equation 7.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmbench.canonical import digest
from ldmbench.data.batches import BatchOrder
from ldmbench.features.perceptual import PerceptualNet, load_perceptual
from ldmbench.models.autoencoder import (
    build_first_stage,
    coding_flops,
    latent_shape,
    save_first_stage,
    trainable,
)
from ldmbench.models.files import seeded
from ldmbench.models.first_stage import FirstStage, kl_nats, nearest_codes
from ldmbench.schema.models import AutoencoderParams
from ldmbench.seeds import derive_seed
from ldmbench.tensors.numerics import autocast, layout_of, tf32
from ldmbench.train.checkpoint import (
    module_tensors,
    optimizer_tensors,
    restore_module,
    restore_optimizer,
)
from ldmbench.train.codebook import count_uses, place_codes
from ldmbench.train.crew import Crew, crew_of
from ldmbench.train.discriminator import (
    PatchDiscriminator,
    adaptive_weight,
    hinge_loss,
    last_gradients,
    ratio_of,
)
from ldmbench.train.draws import parts_of
from ldmbench.train.inputs import Batches, Images, generator_at, pixels_at, scaled
from ldmbench.train.limit import limit_of
from ldmbench.train.loop import Cost, Report, run_job
from ldmbench.train.memory import within_memory
from ldmbench.train.optimizer import adamw, bound_gradients, gradient_norm, gradients_of, set_rate
from ldmbench.train.schedules import falling, linear_decay, linear_warmup
from ldmbench.train.telemetry import Stopwatch

__all__ = ["AutoencoderJob", "train_autoencoder"]

BETAS = (0.5, 0.9)
RESTART_EVERY = 100
RESTART_UNTIL = 0.8
STD_RANGE = (0.5, 2.0)


class AutoencoderJob:
    """A first stage, its discriminator and their optimisers."""

    def __init__(
        self,
        params: AutoencoderParams,
        images: Images,
        *,
        resolution: int,
        order: BatchOrder,
        device: torch.device,
        crew: Crew | None = None,
    ) -> None:
        self.crew = crew or Crew()
        self.latent_shape = latent_shape(params, resolution)
        seed = derive_seed("autoencoder-weights", params.train_seed)
        self.stage: FirstStage = build_first_stage(params, seed=seed)
        self.layout = layout_of(params.precision)
        self.network: Any = trainable(self.stage).train().to(device)
        self.network.to(memory_format=self.layout)
        self.params = params
        self.batches = Batches(lambda n: (pixels_at(images, order.at(n)),), device)
        self.device = device
        self.batch = params.batch
        self.flops_per_image = 3.0 * sum(coding_flops(params, resolution))
        self.parameters = sum(p.numel() for p in self.network.parameters())
        self.perceptual: PerceptualNet | None = (
            load_perceptual(device=device) if params.perceptual_weight else None
        )
        self.judge = seeded(
            PatchDiscriminator, derive_seed("discriminator-weights", params.train_seed)
        ).to(device)
        self.optimizer = adamw(
            self.network.parameters(), params, lr=params.learning_rate, betas=BETAS
        )
        self.judging = adamw(self.judge.parameters(), params, lr=params.learning_rate, betas=BETAS)
        self.uses = torch.zeros(params.codebook, device=device)
        self.rows, self.accumulate = self.crew.rows(params.batch), params.accumulate
        self.clock, self.rate = Stopwatch(device), params.learning_rate
        self.unclipped: Tensor | None = None

    def step(self, n: int, fraction: float) -> Tensor:
        """Train the first stage on a batch, then its discriminator once that has joined."""
        with self.clock.part("data"):
            x = scaled(*self.batches.at(n))
            g = generator_at("train-autoencoder", self.params.train_seed, n, self.device)
            noise = self._noise(g)
        joined = self.params.adversarial_weight > 0 and fraction >= self.params.adversarial_start
        self._set_rates(n, fraction)
        with tf32(self.params.precision):
            with self.clock.part("network"):
                if noise is None and n % RESTART_EVERY == 0 and fraction < RESTART_UNTIL:
                    self._restart_codes(x, g)
                balance = self._balance_of_all(x, noise) if joined else None
                error, made, uses = within_memory(
                    self, lambda: self.gradients(x, noise, joined=joined, balance=balance)
                )
                self.crew.add_up([error, uses, *gradients_of(self.network.parameters())])
                self.uses += uses
            with self.clock.part("optimiser"):
                if self.params.clip:
                    self.unclipped = bound_gradients(self.network.parameters(), self.params.clip)
                self.optimizer.step()
            if joined:
                within_memory(self, lambda: self._judge_gradients(x, made))
                self.crew.add_up(gradients_of(self.judge.parameters()))
                with self.clock.part("optimiser"):
                    self.judging.step()
        return error

    def gradients(
        self, x: Tensor, noise: Tensor | None, *, joined: bool, balance: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Leave the gradients of a batch in the weights of the first stage.

        Args:
            x: its images, NCHW float32 in [-1, 1].
            noise: of its posteriors; None of a VQ.
            joined: whether the discriminator has joined.
            balance: of both losses, where several processes compute the batch.

        Returns:
            The error of reconstruction, a scalar; the decoded images, by part; and how often each
            code of a VQ was used.
        """
        self.optimizer.zero_grad(set_to_none=True)
        parts = parts_of(self.rows, self.accumulate)
        if joined and balance is None and len(parts) > 1:
            balance = ratio_of(*self._sides(x, noise, parts))
        total, made = torch.zeros((), device=self.device), []
        uses = torch.zeros_like(self.uses)
        for rows in parts:
            share = (rows.stop - rows.start) / self.batch
            z, y, regularization = self._reconstruct(x[rows], noise, rows)
            error = self._error(x[rows], y)
            loss = error + regularization
            if joined:
                loss = loss + self._adversarial(error, y, balance)
            (share * loss).backward()
            total += share * error.detach()
            made.append(y.detach())
            if noise is None:
                count_uses(nearest_codes(self.network, z), uses)
        return total, made, uses

    def gradient_norm(self) -> Tensor:
        """Return the norm of the last step's gradients, before they were clipped."""
        return (
            gradient_norm(self.network.parameters()) if self.unclipped is None else self.unclipped
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return weights and optimiser states."""
        return (
            module_tensors(self.network, "model")
            | module_tensors(self.judge, "judge")
            | optimizer_tensors(self.optimizer, "optimizer")
            | optimizer_tensors(self.judging, "judging")
            | {"uses": self.uses}
        )

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put them back."""
        restore_module(self.network, tensors, "model")
        restore_module(self.judge, tensors, "judge")
        restore_optimizer(self.optimizer, tensors, "optimizer")
        restore_optimizer(self.judging, tensors, "judging")
        self.uses.copy_(tensors["uses"])

    def keep(self, folder: Path) -> None:
        """Write the first stage, with the scale that its first training batch asks for."""
        self.network.eval()
        scale = latent_scale(self.stage, scaled(*self.batches.at(0)))
        save_first_stage(self.stage, folder, params=self.params, scale=scale)
        self.network.train()

    def _set_rates(self, n: int, fraction: float) -> None:
        rate = linear_warmup(self.params.learning_rate, n, warmup=self.params.warmup)
        rate = linear_decay(rate, fraction, decay=self.params.decay)
        self.rate = falling(rate, fraction, schedule=self.params.schedule)
        set_rate(self.optimizer, self.rate)
        set_rate(self.judging, self.rate)

    def _noise(self, g: torch.Generator) -> Tensor | None:
        """Return noise for the posteriors of a whole batch; None of a VQ, which has none."""
        if self.params.regularization == "vq":
            return None
        return torch.randn((self.batch, *self.latent_shape), generator=g, device=self.device)

    def _encode(self, x: Tensor) -> Any:
        with autocast(self.params.precision, self.device):
            return self.network.encode(x.contiguous(memory_format=self.layout))

    def _reconstruct(
        self, x: Tensor, noise: Tensor | None, rows: slice
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return latents without a gradient, decoded images and the regulariser, a scalar.

        As in the paper's code, the weight of the KL is relative to errors summed over pixels.
        """
        found = self._encode(x)
        if noise is None:
            z = found.latents.float()
            with autocast(self.params.precision, self.device):
                decoded = self.network.decode(z)
            return z.detach(), decoded.sample.float(), decoded.commit_loss.float()
        posterior = found.latent_dist
        if posterior.parameters.dtype != torch.float32:
            posterior = type(posterior)(posterior.parameters.float())
        z = posterior.mean + posterior.std * noise[rows]
        with autocast(self.params.precision, self.device):
            y = self.network.decode(z).sample.float()
        return z.detach(), y, self.params.kl_weight * kl_nats(posterior).mean() / x[0].numel()

    def _error(self, x: Tensor, y: Tensor) -> Tensor:
        error = (x - y).abs().mean()
        if self.perceptual is not None:
            error = error + self.params.perceptual_weight * self.perceptual(x, y).mean()
        return error

    @torch.no_grad()
    def _restart_codes(self, x: Tensor, g: torch.Generator) -> None:
        """Put codes that were not used since the last restart at latents of the batch."""

        def encoded() -> Tensor:
            parts = parts_of(self.rows, self.accumulate)
            return torch.cat([self._encode(x[rows]).latents.float() for rows in parts])

        own = within_memory(self, encoded)
        z = torch.zeros((self.batch, *own.shape[1:]), device=self.device)
        z[self.rows] = own
        self.crew.add_up([z])
        place_codes(self.network.quantize.embedding.weight, z, self.uses == 0, generator=g)
        self.uses.zero_()

    def _adversarial(self, error: Tensor, y: Tensor, balance: Tensor | None) -> Tensor:
        """Return the weighed loss of not fooling the discriminator.

        Args:
            error: of reconstruction.
            y: decoded images.
            balance: of both losses over the whole batch; None where y is the whole batch.
        """
        fooled = -self.judge(y).mean()
        if balance is None:
            balance = adaptive_weight(error, fooled, self._last)
        scaled: Tensor = self.params.adversarial_weight * balance * fooled
        return scaled

    def _balance_of_all(self, x: Tensor, noise: Tensor | None) -> Tensor | None:
        """Return the adaptive weight of a batch of several processes; None where there is one."""
        if self.crew.count == 1:
            return None

        def sides() -> tuple[Tensor, Tensor]:
            return self._sides(x, noise, parts_of(self.rows, self.accumulate))

        found = within_memory(self, sides)
        self.crew.add_up(found)
        return ratio_of(*found)

    def _sides(self, x: Tensor, noise: Tensor | None, parts: list[slice]) -> tuple[Tensor, Tensor]:
        """Return the gradients of both losses, whose norms the adaptive weight compares."""
        of_rec = of_adv = torch.zeros_like(self._last)
        for rows in parts:
            share = (rows.stop - rows.start) / self.batch
            _, y, _ = self._reconstruct(x[rows], noise, rows)
            rec, adv = last_gradients(self._error(x[rows], y), -self.judge(y).mean(), self._last)
            of_rec, of_adv = of_rec + share * rec, of_adv + share * adv
        return of_rec, of_adv

    @property
    def _last(self) -> torch.nn.Parameter:
        last: torch.nn.Parameter = self.network.decoder.conv_out.weight
        return last

    def _judge_gradients(self, x: Tensor, made: list[Tensor]) -> None:
        """Leave the gradients of images, and of what was made of them, in the discriminator."""
        with self.clock.part("network"):
            self.judging.zero_grad(set_to_none=True)
            x, y = x[self.rows], torch.cat(made)
            for rows in parts_of(slice(0, len(y)), self.accumulate):
                share = (rows.stop - rows.start) / self.batch
                loss = share * hinge_loss(self.judge(x[rows]), self.judge(y[rows]))
                loss.backward()


def train_autoencoder(
    params: AutoencoderParams,
    images: Images,
    *,
    resolution: int,
    devices: int = 1,
    device: str | torch.device,
    scratch: Path,
    output: Path,
    report: Report,
    checkpoint_seconds: float = 20.0,
) -> Cost:
    """Train a first stage and write it, curve.jsonl (reconstruction loss) and cost.json.

    FLOPs, of the budget and of the cost, are those of encoder and decoder, forward and backward;
    the perceptual network and the discriminator are not counted, seconds include them.

    Args:
        params: network, losses and budget.
        images: the training images.
        resolution: their side.
        devices: processes that train it together, this one among them.
        device: where to train.
        scratch: kept between attempts: checkpoints.
        output: where the weights go.
        report: called with the share that is done and a note, about twice a second.
        checkpoint_seconds: how much work a kill may lose.

    Raises:
        InputError: if f = 1, or f does not divide the resolution.
        StageError: if the loss is no longer finite.
    """
    order = BatchOrder(
        len(images),
        batch_size=params.batch,
        seed=derive_seed("autoencoder-order", params.train_seed),
    )
    place = torch.device(device)
    crew = crew_of(devices, place)
    job = AutoencoderJob(
        params, images, resolution=resolution, order=order, device=place, crew=crew
    )
    cost = run_job(
        job,
        limit_of(params.budget, batch=params.batch, flops_per_image=job.flops_per_image),
        recipe=digest([params.model_dump(mode="json"), resolution]),
        scratch=scratch,
        output=output,
        report=report,
        checkpoint_seconds=checkpoint_seconds,
    )
    crew.end()
    return cost


@torch.no_grad()
def latent_scale(stage: FirstStage, x: Tensor) -> float:
    """Return the factor that brings latents near unit standard deviation (Appendix G).

    A KL's is 1 / std of the first batch. A VQ's is 1, as in the paper, unless its standard
    deviation is outside STD_RANGE, where a schedule made for unit variance would fail it.
    """
    std = float(stage.encode(x).double().std())
    if stage.kind == "vq" and STD_RANGE[0] <= std <= STD_RANGE[1]:
        return 1.0
    return 1.0 / max(std, 1e-6)
