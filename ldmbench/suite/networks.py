"""Rules of the networks that a suite trains: fields of one kind, sizes that fit a latent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ldmbench.schema.models import OF_NETWORK, DenoiserParams
from ldmbench.suite.axes import many

__all__ = ["check_network"]

_CONDITIONS = {"dit": ("none", "class")}
"""What a kind of network can be conditioned on, where that is not everything."""


def check_network(written: DenoiserParams, sides: Iterable[int]) -> Iterator[tuple[str, str]]:
    """Yield (field, problem) of a denoiser's network.

    Args:
        written: the written form of a denoiser; a field may hold an axis.
        sides: of the latents that it is trained on.
    """
    networks = many(written.network)
    yield from _foreign(written, networks)
    for network in networks:
        for conditioning in many(written.conditioning):
            allowed = _CONDITIONS.get(network, (conditioning,))
            if conditioning not in allowed:
                yield (
                    "conditioning",
                    f"found {conditioning}, which network {network} is not trained with; allowed:"
                    f" {', '.join(allowed)}",
                )
    sides = sorted(set(sides))
    if "dit" in networks:
        yield from _patches(written, sides)
    if "unet" in networks:
        yield from _levels(written, sides)


def _foreign(written: DenoiserParams, networks: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield fields that none of the networks has."""
    for network, fields in OF_NETWORK.items():
        for field in fields if network not in networks else ():
            if field in written.model_fields_set:
                allowed = ", ".join(f for n in networks for f in OF_NETWORK[n])
                yield (
                    field,
                    f"is a field of network {network}, but network is {' and '.join(networks)};"
                    f" allowed: {allowed}",
                )


def _levels(written: DenoiserParams, sides: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Yield widths of more levels than a latent can be halved into."""
    levels = len(written.multipliers or (1,))
    for side in (side for side in sides if side % 2 ** (levels - 1)):
        most = next(n for n in range(levels, 0, -1) if side % 2 ** (n - 1) == 0)
        yield (
            "multipliers",
            f"found {levels} levels, which a latent of {side} x {side} cannot be halved into;"
            f" allowed: {most} or fewer, or leave it out",
        )


def _patches(written: DenoiserParams, sides: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Yield patches that do not divide a latent, and heads that do not divide a width."""
    for patch in many(written.patch):
        for side in (side for side in sides if side % patch):
            fits = ", ".join(str(p) for p in (1, 2, 4, 8) if side % p == 0)
            yield (
                "patch",
                f"found {patch}, which does not divide a latent of {side} x {side}; allowed:"
                f" {fits}",
            )
    for heads in many(written.heads):
        for width in many(written.width):
            if heads is not None and width % heads:
                yield (
                    "heads",
                    f"found {heads}, which does not divide the width {width}; allowed: a divisor"
                    f" of {width}, or leave it out",
                )
