"""The protocols of a suite, and what they ask of samples and of reference images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ldmbench.schema.data import Split
from ldmbench.schema.protocol import SPLITS, Override, Protocol, SamplingRule, overridden
from ldmbench.schema.suite import Suite
from ldmbench.suite.protocol_files import protocol_named

SAMPLES, REFERENCE = 5_000, 10_000
"""Counts where neither the suite nor a protocol states one."""


def protocols_of(suite: Suite) -> tuple[Protocol, ...]:
    """Return the protocols that a suite's samples are scored under, its changes applied.

    Raises:
        InputError: if one is of a name that no protocol has.
    """
    return tuple(_read(one) for one in written_protocols(suite))


def _read(one: str | Override | Protocol) -> Protocol:
    if isinstance(one, Override):
        return overridden(protocol_named(one.base), one)
    return one if isinstance(one, Protocol) else protocol_named(one)


def written_protocols(suite: Suite) -> tuple[str | Override | Protocol, ...]:
    """Return what the suite says, as a list."""
    return suite.protocol if isinstance(suite.protocol, tuple) else (suite.protocol,)


@dataclass(frozen=True)
class Real:
    """The reference images that a protocol asks for.

    Attributes:
        split: of the dataset.
        count: how many; None where it is not stated.
        whole: whether all of the split are asked for.
        crop: how they are cropped; None where the protocol leaves it open.
        resize: likewise.
    """

    split: Split
    count: int | None
    whole: bool
    crop: str | None
    resize: str | None


def real_images(protocol: Protocol, dataset: str) -> Real:
    """Return the reference of a protocol for a dataset, by the rule of its name if there is one."""
    rule = protocol.rule_for(dataset)
    stated = rule.reference_split if rule else protocol.reference_split
    count = (rule.reference_count if rule else None) or protocol.reference_count
    split: Split = stated if stated in SPLITS else "reference"  # type: ignore[assignment]
    return Real(
        split=split,
        count=count,
        whole=split == "train" and count is None,
        crop=protocol.crop_for(dataset),
        resize=(rule.resize if rule else None) or protocol.resize,
    )


def rule_of(protocols: Sequence[Protocol], dataset: str) -> SamplingRule | None:
    """Return the first protocol's rule for drawing samples of a dataset, or None."""
    found = (protocol.rule_for(dataset) for protocol in protocols)
    return next((rule for rule in found if rule), None)


def pinned(
    protocols: Sequence[Protocol], field: Literal["quantize", "timesteps", "classes"]
) -> dict[str, str]:
    """Return value -> the first protocol that pins it; those that leave it open say nothing."""
    found: dict[str, str] = {}
    for protocol in protocols:
        value = getattr(protocol, field)
        if value not in (None, "none", "not stated"):
            found.setdefault(value, protocol.name)
    return found


def first_pinned(
    protocols: Sequence[Protocol], field: Literal["quantize", "timesteps", "classes"]
) -> str | None:
    """Return what the first protocol that states it asks of the samples, or None."""
    return next(iter(pinned(protocols, field)), None)


def count_for(protocol: Protocol, asked: int | None) -> int:
    """Return n: what the suite asks, else the protocol, else 5,000."""
    return asked or protocol.count or SAMPLES


def largest_count(protocols: Sequence[Protocol], asked: int | None) -> int:
    """Return how many samples serve all protocols."""
    return max(count_for(protocol, asked) for protocol in protocols)
