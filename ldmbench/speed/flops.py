"""FLOPs of one sampled image, of those of its parts (models/flops.py counts them)."""

from __future__ import annotations

from functools import partial

from ldmbench.models.subject import Work

__all__ = ["sampling_flops", "work_flops"]


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


def work_flops(work: Work, asked: int, beside: int) -> int:
    """Return the FLOPs of one sampled image.

    Args:
        work: of its parts.
        asked: evaluations with the condition.
        beside: evaluations of guidance: without the condition, or of another model.
    """
    count = partial(sampling_flops, denoiser=work.denoiser, decoder=work.decoder)
    if not work.guide:
        condition = work.condition * (2 if beside else 1)
        return count(evaluations=asked + beside, condition=condition)
    own = count(evaluations=asked, condition=work.condition)
    return own + beside * work.guide + work.guide_condition
