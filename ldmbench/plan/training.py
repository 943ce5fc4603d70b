"""How trainings of a plan compute: which are compiled, and what of it a person must know."""

from __future__ import annotations

from collections.abc import Iterator

from ldmbench.schema.models import AutoencoderParams, DenoiserParams
from ldmbench.schema.optimisation import Optimised

__all__ = ["COMPILE_FLOPS", "as_computed", "remarks_on"]

COMPILE_FLOPS = 1e16
"""FLOPs of a training from which on its network is compiled where the suite does not say.

Compiling takes a minute or two and saves about a tenth of a training: at the 12 TFLOP/s that small
networks reach on a GPU, this many take a quarter of an hour.
"""
ARITHMETIC = {
    "tf32": "float32 products and convolutions in TensorFloat-32 (10 bits of mantissa)",
    "bfloat16": "products and convolutions in bfloat16 (7 bits of mantissa) by autocast; weights,"
    " their average and the optimiser's state stay float32",
}


def as_computed(section: DenoiserParams, flops: float, *, may_compile: bool) -> DenoiserParams:
    """Return a section that says whether its network is compiled: `compile` is true or unset.

    Args:
        section: as the suite has it.
        flops: of the whole training; 0 where a budget in minutes leaves them open.
        may_compile: false for `--no-compile`.
    """
    wanted = flops >= COMPILE_FLOPS if section.compile is None else section.compile
    return section.model_copy(update={"compile": True if wanted and may_compile else None})


def remarks_on(
    autoencoder: AutoencoderParams, section: DenoiserParams, *, stated: bool | None, flops: float
) -> Iterator[str]:
    """Say how a model's trainings compute where that is not plain float32.

    Args:
        autoencoder: its first stage.
        section: its denoiser, as it is keyed.
        stated: `compile` as the suite has it.
        flops: of the denoiser's whole training.
    """
    if not autoencoder.weights:
        yield from _arithmetic(autoencoder, "its first stage")
    yield from _arithmetic(section, "its denoiser")
    if section.compile and stated is None:
        yield (
            f"its denoiser is compiled, as in every training of at least {COMPILE_FLOPS:.0e} FLOPs"
            f" (here {flops:.2g}); compile: false or --no-compile leaves that out"
        )
    elif section.compile:
        yield "its denoiser is compiled for training"


def _arithmetic(section: Optimised, noun: str) -> Iterator[str]:
    """Say in which precision a network is trained, if that is reduced."""
    if section.precision in ARITHMETIC:
        yield f"{noun} is trained with {ARITHMETIC[section.precision]}"
