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
from ldmbench.train.checkpoint import (
    module_tensors,
    optimizer_tensors,
    restore_module,
    restore_optimizer,
)
from ldmbench.train.codebook import count_uses, place_codes
from ldmbench.train.discriminator import PatchDiscriminator, adaptive_weight, hinge_loss
from ldmbench.train.inputs import Batches, Images, generator_at, pixels_at, scaled
from ldmbench.train.limit import limit_of
from ldmbench.train.loop import Cost, Report, run_job
from ldmbench.train.optimizer import adamw, set_rate
from ldmbench.train.schedules import linear_decay

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
    ) -> None:
        latent_shape(params, resolution)
        seed = derive_seed("autoencoder-weights", params.train_seed)
        self.stage: FirstStage = build_first_stage(params, seed=seed)
        self.network: Any = trainable(self.stage).train().to(device)
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
        self.optimizer = adamw(self.network.parameters(), lr=params.learning_rate, betas=BETAS)
        self.judging = adamw(self.judge.parameters(), lr=params.learning_rate, betas=BETAS)
        self.uses = torch.zeros(params.codebook, device=device)

    def step(self, n: int, fraction: float) -> Tensor:
        """Train the first stage on a batch, then its discriminator once that has joined."""
        x = scaled(*self.batches.at(n))
        g = generator_at("train-autoencoder", self.params.train_seed, n, self.device)
        joined = self.params.adversarial_weight > 0 and fraction >= self.params.adversarial_start
        rate = linear_decay(self.params.learning_rate, fraction, decay=self.params.decay)
        set_rate(self.optimizer, rate)
        set_rate(self.judging, rate)

        y, regularization = self._reconstruct(x, g, n, fraction)
        error = (x - y).abs().mean()
        if self.perceptual is not None:
            error = error + self.params.perceptual_weight * self.perceptual(x, y).mean()
        loss = error + regularization
        if joined:
            loss = loss + self._adversarial(error, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if joined:
            self._train_judge(x, y.detach())
        return error.detach()

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

    def _reconstruct(
        self, x: Tensor, g: torch.Generator, n: int, fraction: float
    ) -> tuple[Tensor, Tensor]:
        """Return the decoded images and the regulariser, a scalar.

        As in the paper's code, the weight of the KL is relative to errors summed over pixels.
        """
        module = self.network
        if self.params.regularization == "kl":
            posterior = module.encode(x).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=g, device=self.device)
            y = module.decode(posterior.mean + posterior.std * noise).sample
            return y, self.params.kl_weight * kl_nats(posterior).mean() / x[0].numel()
        z = module.encode(x).latents
        self._tend_codebook(z.detach(), g, n, fraction)
        decoded = module.decode(z)
        return decoded.sample, decoded.commit_loss

    def _tend_codebook(self, z: Tensor, g: torch.Generator, n: int, fraction: float) -> None:
        module = self.network
        if n % RESTART_EVERY == 0 and fraction < RESTART_UNTIL:
            place_codes(module.quantize.embedding.weight, z, self.uses == 0, generator=g)
            self.uses.zero_()
        count_uses(nearest_codes(module, z), self.uses)

    def _adversarial(self, error: Tensor, y: Tensor) -> Tensor:
        fooled = -self.judge(y).mean()
        weight = adaptive_weight(error, fooled, self.network.decoder.conv_out.weight)
        scaled: Tensor = self.params.adversarial_weight * weight * fooled
        return scaled

    def _train_judge(self, x: Tensor, y: Tensor) -> None:
        loss = hinge_loss(self.judge(x), self.judge(y))
        self.judging.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.judging.step()


def train_autoencoder(
    params: AutoencoderParams,
    images: Images,
    *,
    resolution: int,
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
    job = AutoencoderJob(
        params, images, resolution=resolution, order=order, device=torch.device(device)
    )
    return run_job(
        job,
        limit_of(params.budget, batch=params.batch, flops_per_image=job.flops_per_image),
        recipe=digest([params.model_dump(mode="json"), resolution]),
        scratch=scratch,
        output=output,
        report=report,
        checkpoint_seconds=checkpoint_seconds,
    )


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
