"""FLOPs of one sampled image, of those of its parts (models/flops.py counts them)."""

from __future__ import annotations

__all__ = ["sampling_flops"]


def sampling_flops(
    *, evaluations: int, denoiser: int, condition: int = 0, decoder: int = 0, guided: bool = False
) -> int:
    """Return the FLOPs of one sampled image.

    Args:
        evaluations: of the denoiser, by the sampler's own count (Heun does about two a step).
        denoiser: FLOPs of one evaluation.
        condition: FLOPs of encoding one condition.
        decoder: FLOPs of decoding one latent.
        guided: whether every evaluation is done with and without the condition.
    """
    times = 2 if guided else 1
    return evaluations * denoiser * times + condition * times + decoder
