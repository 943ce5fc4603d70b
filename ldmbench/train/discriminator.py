"""The patch discriminator of first-stage training, and how its loss is weighed."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["PatchDiscriminator", "adaptive_weight", "hinge_loss", "last_gradients", "ratio_of"]


class PatchDiscriminator(nn.Module):
    """A logit per patch (arXiv:1611.07004): NCHW float32 in [-1, 1] -> (N, 1, h, w).

    Group instead of batch normalisation, so that a logit does not depend on the other images.
    """

    def __init__(self, *, channels: int = 32, levels: int = 2) -> None:
        super().__init__()
        widths = [channels * 2**i for i in range(levels + 1)]
        layers: list[nn.Module] = [
            nn.Conv2d(3, channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for i, (c, d) in enumerate(pairwise(widths)):
            layers += [
                nn.Conv2d(
                    c, d, 4 if i + 1 < levels else 3, stride=2 if i + 1 < levels else 1, padding=1
                ),
                nn.GroupNorm(8, d),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, positive for "real"."""
        out: Tensor = self.layers(x)
        return out


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's loss on logits of real and of decoded images."""
    return 0.5 * ((1 - real).relu().mean() + (1 + fake).relu().mean())


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: nn.Parameter) -> Tensor:
    """Return lambda (arXiv:2012.09841, equation 7): the ratio of both losses' gradients.

    Args:
        reconstruction: scalar loss.
        adversarial: scalar loss.
        last: weights of the decoder's last layer.
    """
    return ratio_of(*last_gradients(reconstruction, adversarial, last))


def last_gradients(
    reconstruction: Tensor, adversarial: Tensor, last: nn.Parameter
) -> tuple[Tensor, Tensor]:
    """Return the gradients of both losses, scalars, by the weights of the decoder's last layer."""
    (of_rec,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
    (of_adv,) = torch.autograd.grad(adversarial, last, retain_graph=True)
    return of_rec, of_adv


def ratio_of(of_rec: Tensor, of_adv: Tensor) -> Tensor:
    """Return the ratio of the norms of two gradients, 0 to 10,000, a scalar without gradient."""
    ratio: Tensor = of_rec.norm() / (of_adv.norm() + 1e-4)
    return ratio.clamp(0.0, 1e4).detach()
