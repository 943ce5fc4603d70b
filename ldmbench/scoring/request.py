"""A request to score: what is asked, and what it means under one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.plan.captions import caption_cautions
from ldmbench.schema.protocol import Protocol
from ldmbench.scoring.checks import check, rows_of, wanted_of, warnings_of
from ldmbench.scoring.imports import captions_of, check_captions, with_prompts
from ldmbench.scoring.ratio import as_many, check_ratio
from ldmbench.scoring.sides import Side, first, has_size, pixels_of, read_side, ruled
from ldmbench.store.disk import Store
from ldmbench.suite.protocol_files import protocol_named

__all__ = ["Asked", "Request", "asked_of"]


@dataclass(frozen=True)
class Request:
    """What a person asks to be scored; every side is a name as `sides.read_side` takes it.

    Attributes:
        images: the samples: a folder, zip, npz of images or of features.
        reference: real images, a built reference or statistics.
        training: what the model saw, where a metric needs it.
        validation: images that no model saw, by whose distance to the reference FDr divides.
        pairs: images of the same names as the samples.
        prompts: the captions of the samples, a file.
        protocols: the same samples are scored under each.
        dataset: whose rules of the protocols hold.
        resolution: pixels a side where nothing else tells it.
        metrics: names with commas; "" is whatever the sides allow.
        count: the first images alone, in the order of names.
        allowed: differences that are not refused: "crop".
    """

    images: str
    reference: str | None = None
    training: str | None = None
    validation: str | None = None
    pairs: str | None = None
    prompts: Path | None = None
    protocols: tuple[str, ...] = ("shapes-v1",)
    dataset: str | None = None
    resolution: int | None = None
    metrics: str = ""
    count: int | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What is scored under one protocol: the sides that it prepares, and what to warn of."""

    protocol: Protocol
    samples: Side
    reference: Side | None
    training: Side | None
    validation: Side | None
    pairs: Side | None
    metrics: tuple[str, ...]
    warnings: tuple[str, ...]


def asked_of(request: Request, root: Path) -> list[Asked]:
    """Return what a request means, under each of its protocols.

    Args:
        request: what is asked.
        root: the store's folder, which remembers digests and takes prompts.

    Raises:
        InputError: naming every image that cannot be read, or what else cannot be scored.
        UnlikeError: sides that must not be compared.
    """
    names = [name.strip() for text in request.protocols for name in text.split(",")]
    protocols = [
        ruled(protocol_named(name), request.dataset) for name in dict.fromkeys(filter(None, names))
    ]
    if not protocols:
        raise InputError("--protocol: found no name; `ldmbench list protocols` has them")
    return [_asked(request, protocol, root) for protocol in protocols]


def _asked(request: Request, protocol: Protocol, root: Path) -> Asked:
    images, resolution, count = request.images, request.resolution, request.count
    reference = None
    if request.reference and has_size(request.reference):
        reference = read_side(request.reference, protocol, store=root)
    raw = resolution or (pixels_of(reference) if reference else None)
    samples = whole = read_side(images, protocol, store=root, raw=raw)
    pixels = pixels_of(samples) or resolution

    def beside(name: str | None) -> Side | None:
        return read_side(name, protocol, store=root, side=pixels) if name else None

    reference = reference or beside(request.reference)
    training = None
    if request.training:
        training = read_side(request.training, protocol, store=root, side=pixels, split="train")
    pairs, validation = beside(request.pairs), None
    if request.validation:
        validation = read_side(
            request.validation, protocol, store=root, side=pixels, split="validation"
        )
    if count is not None:
        samples, pairs = first(samples, count), first(pairs, count) if pairs else None
    wanted = wanted_of(request.metrics, reference, pairs, request.prompts, training)
    if not wanted:
        raise InputError("Missing option '--reference': give real images, --pairs or --prompts")
    allowed = request.allowed
    check(samples, reference, pairs, protocol, wanted, train=training, allowed=allowed)
    check_ratio(samples, reference, validation, protocol, wanted, allowed=allowed)
    if request.prompts:
        store = Store(root)
        store.open()
        samples = with_prompts(whole, request.prompts, store, count=count)
        samples = samples if count is None else first(samples, count)
    captioned = any(row.family.against == "caption" for row in rows_of(wanted))
    for side in filter(None, (samples, reference, training, pairs)):
        check_captions(side, needed=side is samples and captioned)
    warnings = [*warnings_of(samples, reference, protocol, wanted, train=training, beside=pairs)]
    validation, said = as_many(validation, samples, wanted)
    warnings += said
    if whole.source and samples.source and samples.source.count < whole.source.count:
        part = f"the first {samples.source.count:,} of {whole.source.count:,}"
        warnings.append(f"{images}: {part}, in the order of names")
    if captioned:
        prompted = captions_of(samples)
        what = f"the {len(prompted):,} captions of {samples.name}"
        warnings += caption_cautions(prompted, protocol.clip, what)
    if resolution not in (None, pixels):
        warnings.append(f"{images}: scored at {pixels} pixels, not at --resolution {resolution}")
    sides = (samples, reference, training, validation, pairs)
    return Asked(protocol, *sides, wanted, tuple(warnings))
