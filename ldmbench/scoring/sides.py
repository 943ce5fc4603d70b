"""What a person gives to be scored: images, features, statistics or a built reference."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest_file
from ldmbench.catalog.metrics import MOMENTS
from ldmbench.errors import InputError
from ldmbench.plan.score import FeatureSource, ImageSource, Source, files_source, shapes_source
from ldmbench.registry import pick
from ldmbench.schema.data import LARGEST_SCENE, Split
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.reference import Reference
from ldmbench.scoring.npz import (
    STATISTICS,
    Array,
    covariance,
    members,
    read_provenance,
    read_rows,
    read_statistics,
)
from ldmbench.sources.kinds import kind_at, open_source
from ldmbench.suite.protocols import real_images
from ldmbench.words import plural

SHAPES_COUNT = 10_000


@dataclass(frozen=True)
class Side:
    """One side of a score.

    Attributes:
        name: as it was typed.
        source: images or features; None for statistics alone.
        moments: metric -> mean (D,) and covariance (D, D), where a file holds them.
        sizes: (width, height) -> how many images.
        lossy: images that are jpg, jpeg or webp files.
        captions: images that have one.
        left_out: files that are of no format that is read.
        remarks: what else of a source is left out, counted.
        images: name -> sha256, in the order of use.
        zeros: rows of features that are zero throughout.
        provenance: of a built reference.
    """

    name: str
    source: Source | None
    moments: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    sizes: Mapping[tuple[int, int], int] = field(default_factory=Counter)
    lossy: int = 0
    captions: int = 0
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    zeros: int = 0
    provenance: Reference | None = None


def read_side(
    name: str,
    protocol: Protocol,
    *,
    store: Path,
    side: int | None = None,
    raw: int | None = None,
    split: Split = "reference",
) -> Side:
    """Recognise what was typed: a folder, zip, npz of images or features, or shapes:R[:N].

    Args:
        name: as typed.
        protocol: whose resolution, crop and resize prepare images that are not square already.
        store: where digests of image files are remembered.
        side: the resolution of the other side, which this one must be brought to.
        raw: the resolution of images that are not square already, where nothing else tells it.
        split: of the embedded data.

    Raises:
        InputError: naming every image that cannot be read, or what is wrong with the file.
    """
    if name.startswith("shapes:"):
        return _shapes(name, split)
    path = _place(name)
    if path.is_file() and path.suffix.lower() == ".npz":
        names = members(path)
        if "features" in names:
            return _features(path, names)
        if "arr_0" not in names:
            return _statistics(path, names)
        moments = read_statistics(path, names)
        return _images(path, protocol, store=store, side=side, raw=raw, moments=moments)
    if path.is_file() and path.suffix.lower() == ".pt":
        from ldmbench.features.statistics import read_fidelity  # it imports torch

        held = read_fidelity(path)
        parts = MOMENTS.statistics or ("", "")
        mean, cov = ((part, held[part]) for part in parts)
        found = covariance(path, mean, cov)
        served = [metric for metric, known in STATISTICS.items() if known == parts]
        return Side(name, None, moments=dict.fromkeys(served, found))
    return _images(path, protocol, store=store, side=side, raw=raw)


def first(side: Side, count: int) -> Side:
    """Return the first images or rows of one side, in the order of its listing.

    Raises:
        InputError: it has not as many.
    """
    if side.source is None:
        return side
    if count > side.source.count:
        raise InputError(f"{side.name}: found {side.source.count:,}; --count asks for {count:,}")
    return replace(
        side,
        source=replace(side.source, count=count),
        images=dict(itertools.islice(side.images.items(), count)),
        captions=min(side.captions, count),
    )


def has_size(name: str) -> bool:
    """Tell whether a reference is of a size that the samples' does not change: features, shapes:R.

    Raises:
        InputError: there is no such file, or it is an npz that cannot be read.
    """
    if name.startswith("shapes:"):
        return True
    path = _place(name)
    return path.is_file() and path.suffix.lower() == ".npz" and "features" in members(path)


def _place(name: str) -> Path:
    """Return the folder or file of a name.

    Raises:
        InputError: there is none, or nothing is in it.
    """
    if not name.strip():
        raise InputError(f"'{name}': no name of a folder or file")
    if os.fsencode(name).decode(errors="replace") != name:
        raise InputError(f"{os.fsencode(name)!r}: the name is not UTF-8; rename it")
    path = Path(name)
    try:
        there = path.exists()
    except (OSError, ValueError) as error:
        raise InputError(f"{name[:80]}: cannot be looked at ({error})") from None
    if not there:
        raise InputError(f"{name}: no such folder or file")
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{name}: found a pipe, socket or device; give a folder or file of images")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{name}: the file is empty")
    return path


def ruled(protocol: Protocol, dataset: str | None) -> Protocol:
    """Return a protocol with what its rule for a dataset says of real images, as a suite has it.

    Args:
        protocol: with rules per dataset.
        dataset: a name of one, or None.

    Raises:
        InputError: if the protocol has no rule for it.
    """
    if dataset is None:
        return protocol
    rules = {rule.dataset: rule for rule in protocol.sampling}
    if not rules:
        raise InputError(f"--dataset {dataset}: {protocol.name} has no rules for single datasets")
    rule = protocol.rule_for(dataset) or pick(rules, dataset, f"dataset of {protocol.name}")
    real = real_images(protocol, rule.dataset)
    fields = {"reference_count": real.count, "crop": real.crop, "resize": real.resize}
    return protocol.model_copy(update={**fields, "sampling": (rule,)})


def _shapes(name: str, split: Split) -> Side:
    parts = name.split(":")[1:]
    if not all(re.fullmatch("[0-9]{1,12}", part) and int(part) for part in parts) or len(parts) > 2:
        raise InputError(f"{name}: write shapes:RESOLUTION or shapes:RESOLUTION:COUNT")
    side, count = int(parts[0]), int(parts[1]) if len(parts) == 2 else SHAPES_COUNT
    if not 8 <= side <= LARGEST_SCENE:
        raise InputError(f"{name}: the resolution lies between 8 and {LARGEST_SCENE} pixels")
    return Side(name, shapes_source(side, count, split=split), sizes={(side, side): count})


def _images(
    path: Path,
    protocol: Protocol,
    *,
    store: Path,
    side: int | None,
    raw: int | None,
    moments: Mapping[str, tuple[Array, Array]] | None = None,
) -> Side:
    kind = kind_at(path)
    found = open_source(kind, path, {}).inspect()
    if found.problems:
        listed = "\n".join(f"  {problem}" for problem in found.problems)
        raise InputError(
            f"{path}: {len(found.problems)} of {plural(len(found.names), 'image')} cannot be"
            f" scored; mend or remove:\n{listed}"
        )
    resolution, crop, resize = _preparation(path, found.sizes, protocol, side=side, raw=raw)
    source = files_source(
        path.name,
        str(path.resolve()),
        count=len(found.names),
        digest=open_source(kind, path.resolve(), {}).digest(store / "digests.json"),
        digests=str((store / "digests.json").resolve()),
        resolution=resolution,
        crop=crop,
        resize=resize,
        split=found.split,
        kind=kind,
    )
    return Side(
        str(path),
        source,
        moments=moments or {},
        sizes=found.sizes,
        lossy=found.lossy,
        left_out=found.left_out,
        remarks=found.remarks,
        captions=found.captions,
        images={name: found.digests[name] for name in found.names},
    )


def _preparation(
    path: Path,
    sizes: Counter[tuple[int, int]],
    protocol: Protocol,
    *,
    side: int | None,
    raw: int | None,
) -> tuple[int, str, str]:
    """Return resolution, crop and resize; images of one square size are taken as they are."""
    wanted = side or protocol.resolution
    ((width, height), _), *others = sizes.most_common()
    if not others and width == height and wanted in (None, width):
        return width, "none", "pil-bicubic"
    shown = ", ".join(f"{n} of {w} x {h}" for (w, h), n in sizes.most_common(3))
    target = wanted or raw
    if protocol.crop in (None, "none") or target is None:
        expected = f"{target} x {target}" if target else "one square size"
        raise InputError(
            f"{path}: the images are {shown}, expected {expected}; {_advice(protocol, target)}"
        )
    small = {size: n for size, n in sizes.items() if min(size) < target}
    if small:
        shown = ", ".join(f"{n} of {w} x {h}" for (w, h), n in list(small.items())[:3])
        raise InputError(
            f"{path}: {sum(small.values())} of {plural(sizes.total(), 'image')} are smaller than"
            f" the {target} pixels that {protocol.name} crops them to ({shown}); leave them out, or"
            " name another --protocol"
        )
    return target, str(protocol.crop), protocol.resize or "pil-bicubic"


def _advice(protocol: Protocol, target: int | None) -> str:
    """Return what to type for images that are not of one square size."""
    if protocol.crop not in (None, "none"):
        return f"say --resolution N, to which {protocol.name} crops by '{protocol.crop}'"
    cropped = [rule.dataset for rule in protocol.sampling if rule.crop not in (None, "none")]
    if cropped:
        size = "" if target else "--resolution N and "
        return f"say {size}which --dataset of {protocol.name} they are: {', '.join(cropped)}"
    return (
        "prepare them in the same way, or name a --protocol that crops, such as coco-30k or"
        " adm-2105.05233"
    )


def _features(path: Path, names: set[str]) -> Side:
    features = read_rows(path, "features")
    extra = [
        read_rows(path, name, len(features)) for name in ("logits", "spatial") if name in names
    ]
    provenance = read_provenance(path)
    source = FeatureSource(
        path.name,
        features.shape[0],
        features.shape[1],
        digest_file(path),
        extractor=provenance.extractor if provenance else "unnamed",
        weights=provenance.weights if provenance else "unverified",
        logits="logits" in names,
        spatial=extra[-1].shape[1] if "spatial" in names else 0,
        double=any(rows.dtype.itemsize > 4 for rows in (features, *extra)),
        **(_known(provenance) if provenance else {}),
    )
    side = provenance.resolution if provenance else 0
    return Side(
        str(path),
        source,
        sizes={(side, side): source.count} if side else {},
        lossy=provenance.lossy if provenance else 0,
        zeros=int((~features.any(axis=1)).sum()),
        provenance=provenance,
    )


def _known(provenance: Reference) -> dict[str, Any]:
    """Return what a built reference says of its images."""
    names = ("precision", "resolution", "crop", "resize", "ref", "neighbours", "neighbours_ref")
    return {name: getattr(provenance, name) for name in names}


def _statistics(path: Path, names: set[str]) -> Side:
    found = read_statistics(path, names)
    if not found:
        raise InputError(
            f"{path}: holds {', '.join(sorted(names)) or 'nothing'}; expected arr_0 (images),"
            " features, or mu and sigma"
        )
    return Side(str(path), None, moments=found)


def pixels_of(given: Side) -> int | None:
    """Return the resolution at which one side is scored, or None for features."""
    if isinstance(given.source, ImageSource):
        return given.source.source.resolution
    return given.provenance.resolution if given.provenance else None
