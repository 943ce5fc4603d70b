"""Rules of the networks that a suite trains: fields of one kind, sizes that fit a latent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from ldmbench.catalog.presets import PRESETS
from ldmbench.schema.models import DenoiserParams
from ldmbench.schema.networks import OF_NETWORK, default_multipliers, preset_fields
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
    presets = [name for name in many(written.preset) if name]
    for field in ("network", "conditioning"):
        values = {str(PRESETS[name].fields.get(field)) for name in presets}
        if len(values) > 1 and field not in written.model_fields_set:
            yield (
                "preset",
                f"found presets that differ in {field} ({', '.join(sorted(values))}); allowed:"
                " presets that agree in it, or a model for each",
            )
            return
    sides, found = sorted(set(sides)), dict[tuple[str, str], None]()
    for name in presets or [None]:
        fields = preset_fields({**dict.fromkeys(written.model_fields_set), "preset": name})
        found |= dict.fromkeys(_problems(written.model_copy(update=fields), sides))
    yield from found


def _problems(written: DenoiserParams, sides: Sequence[int]) -> Iterator[tuple[str, str]]:
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
    ways = product(networks, many(written.conditioning), many(written.inject))
    names = ("network", "conditioning", "inject")
    one = (written.model_copy(update=dict(zip(names, way, strict=True))) for way in ways)
    if many(written.transformer_depth) != (1,) and not any(way.attends for way in one):
        yield (
            "transformer_depth",
            f"found {written.transformer_depth}, but nothing here attends to a condition; allowed:"
            " conditioning caption, layout, or class with inject: cross",
        )
    if "dit" in networks:
        yield from _patches(written, sides)
    if "unet" in networks:
        yield from _levels(written, sides)
    yield from _heads(written, networks, sides)


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
    """Yield patches that do not divide a latent."""
    for patch in many(written.patch):
        for side in (side for side in sides if side % patch):
            fits = ", ".join(str(p) for p in (1, 2, 4, 8) if side % p == 0)
            yield (
                "patch",
                f"found {patch}, which does not divide a latent of {side} x {side}; allowed:"
                f" {fits}",
            )


def _heads(
    written: DenoiserParams, networks: tuple[str, ...], sides: Sequence[int]
) -> Iterator[tuple[str, str]]:
    """Yield heads that do not divide a width at which there is attention, or are stated twice."""
    if written.heads is not None and written.head_channels is not None:
        yield "heads", "found beside head_channels; allowed: one of the two"
        return
    unet = _attended(written, sides) if "unet" in networks else set()
    dit = set(many(written.width)) if "dit" in networks else set()
    for field, widths in (("heads", unet | dit), ("head_channels", unet)):
        for value in (value for value in many(getattr(written, field)) if value is not None):
            for width in sorted(width for width in widths if width % value):
                yield (
                    field,
                    f"found {value}, which does not divide the width {width}, at which there is"
                    " attention; allowed: divisors of every such width, or leave it out",
                )


def _attended(written: DenoiserParams, sides: Sequence[int]) -> set[int]:
    """Return the widths of a UNet at which there is attention: the last, and those at its sizes."""
    found: set[int] = set()
    for channels, side in product(many(written.channels), sides):
        widths = [channels * m for m in written.multipliers or default_multipliers(side)]
        found |= {w for i, w in enumerate(widths) if side >> i in written.attention_sizes}
        found.add(widths[-1])
    return found
