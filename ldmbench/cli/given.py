"""What a person gives to be scored: images, features, statistics or a built reference."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from ldmbench.canonical import digest, digest_file
from ldmbench.catalog import FINGERPRINTS, INSPECTIONS
from ldmbench.cli.options import plural
from ldmbench.errors import InputError
from ldmbench.plan.score import FeatureSource, ImageSource, Source, files_source, shapes_source
from ldmbench.registry import resolve
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.reference import Reference
from ldmbench.schema.stage import Manifest, Stage
from ldmbench.store.artifact import outputs_digest, outputs_of
from ldmbench.store.disk import Address, Store
from ldmbench.store.machine import code_digest, machine, versions

Array = npt.NDArray[Any]
SHAPES_COUNT = 10_000


@dataclass(frozen=True)
class Given:
    """One side of a score.

    Attributes:
        name: as it was typed.
        source: images or features; None for statistics alone.
        moments: mu (D,) and sigma (D, D), where a file holds them.
        sizes: (width, height) -> how many images.
        lossy: images that are jpg, jpeg or webp files.
        captions: images that have one.
        images: name -> sha256, in the order of use.
        provenance: of a built reference.
    """

    name: str
    source: Source | None
    moments: tuple[Array, Array] | None = None
    sizes: Mapping[tuple[int, int], int] = field(default_factory=Counter)
    lossy: int = 0
    captions: int = 0
    images: Mapping[str, str] = field(default_factory=dict)
    provenance: Reference | None = None


def given(name: str, protocol: Protocol, *, store: Path, side: int | None = None) -> Given:
    """Recognise what was typed: a folder, zip, npz of images or features, or shapes:R[:N].

    Args:
        name: as typed.
        protocol: whose resolution, crop and resize prepare images that are not square already.
        store: where digests of image files are remembered.
        side: the resolution of the other side, which this one must be brought to.

    Raises:
        InputError: naming every image that cannot be read, or what is wrong with the file.
    """
    if name.startswith("shapes:"):
        return _shapes(name)
    path = Path(name)
    if not path.exists():
        raise InputError(f"{name}: no such folder or file")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{name}: the file is empty")
    if path.is_file() and path.suffix.lower() == ".npz":
        members = _members(path)
        if "features" in members:
            return _features(path, members)
        if "arr_0" not in members:
            return _statistics(path, members)
        moments = _moments(path) if {"mu", "sigma"} <= members else None
        return _images(path, protocol, store=store, side=side, moments=moments)
    return _images(path, protocol, store=store, side=side)


def _shapes(name: str) -> Given:
    parts = name.split(":")[1:]
    if not 1 <= len(parts) <= 2 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise InputError(f"{name}: write shapes:RESOLUTION or shapes:RESOLUTION:COUNT")
    side, count = int(parts[0]), int(parts[1]) if len(parts) == 2 else SHAPES_COUNT
    if not 8 <= side <= 2048:
        raise InputError(f"{name}: the resolution lies between 8 and 2048 pixels")
    return Given(name, shapes_source(side, count), sizes={(side, side): count})


def _images(
    path: Path,
    protocol: Protocol,
    *,
    store: Path,
    side: int | None,
    moments: tuple[Array, Array] | None = None,
) -> Given:
    inspect: Any = resolve(INSPECTIONS["folder"])
    found = inspect(path)
    if found.problems:
        listed = "\n".join(f"  {problem}" for problem in found.problems)
        raise InputError(
            f"{path}: {len(found.problems)} of {plural(len(found.names), 'image')} cannot be"
            f" scored; mend or remove:\n{listed}"
        )
    resolution, crop, resize = _preparation(path, found.sizes, protocol, side)
    fingerprint: Any = resolve(FINGERPRINTS["folder"])
    source = files_source(
        path.name,
        str(path.resolve()),
        count=len(found.names),
        digest=fingerprint(path.resolve(), store / "digests.json"),
        resolution=resolution,
        crop=crop,
        resize=resize,
    )
    return Given(
        str(path),
        source,
        moments=moments,
        sizes=found.sizes,
        lossy=found.lossy,
        captions=found.captions,
        images={name: found.digests[name] for name in found.names},
    )


def _preparation(
    path: Path, sizes: Counter[tuple[int, int]], protocol: Protocol, side: int | None
) -> tuple[int, str, str]:
    """Return resolution, crop and resize; images of one square size are taken as they are."""
    wanted = side or protocol.resolution
    ((width, height), _), *others = sizes.most_common()
    if not others and width == height and wanted in (None, width):
        return width, "none", "pil-bicubic"
    shown = ", ".join(f"{n} of {w} x {h}" for (w, h), n in sizes.most_common(3))
    target = wanted or protocol.resolution
    if protocol.crop in (None, "none") or target is None:
        raise InputError(
            f"{path}: the images are {shown}, expected"
            f" {f'{target} x {target}' if target else 'one square size'}; prepare them alike, or"
            " name a --protocol that crops, such as coco-30k or adm-2105.05233"
        )
    return target, str(protocol.crop), protocol.resize or "pil-bicubic"


# ---------------------------------------------------------------- npz files


def _members(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable npz ({error}); fetch or save it again") from None


def _array(path: Path, name: str) -> Array:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found: Array = arrays[name]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: {name} cannot be read ({error})") from None
    if not np.issubdtype(found.dtype, np.floating):
        raise InputError(f"{path}: {name} is {found.dtype}; save it as float32 or float64")
    if not np.isfinite(found).all():
        bad = int(found.size - np.isfinite(found).sum())
        raise InputError(f"{path}: {name} holds {bad} values that are NaN or infinite")
    return found


def _features(path: Path, members: set[str]) -> Given:
    features = _array(path, "features")
    if features.ndim != 2 or features.shape[0] < 1 or features.shape[1] < 1:
        raise InputError(f"{path}: features are {features.shape}; expected (N, D)")
    if "logits" in members and _array(path, "logits").shape[:1] != features.shape[:1]:
        raise InputError(f"{path}: features and logits have unlike numbers of rows")
    provenance = read_provenance(path)
    named = {} if provenance is None else {
        "extractor": provenance.extractor, "weights": provenance.weights,
    }  # fmt: skip
    source = FeatureSource(
        path.name,
        features.shape[0],
        features.shape[1],
        digest_file(path),
        logits="logits" in members,
        **named,
    )
    side = provenance.resolution if provenance else 0
    return Given(
        str(path),
        source,
        sizes={(side, side): source.count} if side else {},
        lossy=provenance.lossy if provenance else 0,
        provenance=provenance,
    )


def _moments(path: Path) -> tuple[Array, Array]:
    mu, sigma = _array(path, "mu").astype(np.float64), _array(path, "sigma").astype(np.float64)
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)):
        raise InputError(f"{path}: mu is {mu.shape} and sigma {sigma.shape}; expected (D,), (D, D)")
    return mu, sigma


def _statistics(path: Path, members: set[str]) -> Given:
    if not {"mu", "sigma"} <= members:
        raise InputError(
            f"{path}: holds {', '.join(sorted(members)) or 'nothing'}; expected arr_0 (images),"
            " features, or mu and sigma"
        )
    return Given(str(path), None, moments=_moments(path))


def provenance_file(path: Path) -> Path:
    """Return where the provenance of a reference lies."""
    return path.with_suffix(".json")


def read_provenance(path: Path) -> Reference | None:
    """Return what lies beside a reference, or None.

    Raises:
        InputError: if it is damaged, or belongs to another file.
    """
    beside = provenance_file(path)
    if not beside.is_file():
        return None
    try:
        found = Reference.model_validate_json(beside.read_bytes())
    except ValidationError as error:
        raise InputError(f"{beside}: no provenance ({error.errors()[0]['msg']})") from None
    if digest_file(path) != found.sha256:
        raise InputError(
            f"{path}: is not the file that {beside.name} describes (sha256 differs); build the"
            " reference again"
        )
    return found


# ---------------------------------------------------------------- into the store


def put_features(given: Given, stages: Mapping[str, Stage], store: Store) -> None:
    """Commit the features of a file as the artefact that its stage names, unless it is there."""
    if not isinstance(given.source, FeatureSource):
        return
    stage = next(s for s in stages.values() if s.params.get("file") == given.source.digest)
    address = Address("features", stage.key, (0, given.source.count))
    if store.lookup(address):
        return
    temporary = store.temporary(address)
    try:
        for name in ("features", *(("logits",) if given.source.logits else ())):
            np.save(temporary / f"{name}.npy", _array(Path(given.name), name).astype(np.float32))
        outputs = outputs_of(temporary)
        store.commit(
            temporary,
            Manifest(
                kind="features",
                key=stage.key,
                shard=(0, given.source.count),
                version=stage.version,
                params=stage.params,
                inputs=stage.inputs,
                input_digests={"images": given.source.digest},
                outputs=outputs,
                digest=outputs_digest(outputs),
                code=code_digest("features"),
                machine=machine(),
                versions=versions(),
                started=datetime.now(UTC).isoformat(),
                seconds=0.0,
            ),
        )
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def with_prompts(given: Given, prompts: Path, store: Store) -> Path:
    """Return a folder of the same images with the captions of a JSONL file beside them.

    Raises:
        InputError: if a line is malformed, an image has no caption or a caption no image.
    """
    table = _prompts(prompts)
    lost = [name for name in given.images if name not in table]
    extra = [name for name in table if name not in given.images]
    if lost or extra:
        what = f"no caption for {', '.join(lost[:5])}" if lost else f"no image {extra[0]}"
        raise InputError(f"{prompts}: {what}; each image needs one line with its file and text")
    path = Path(given.name)
    if not path.is_dir():
        raise InputError(f"{given.name}: --prompts needs a folder of images; unpack it first")
    meant = digest({"prompts": table, "images": dict(given.images)})
    folder = store.scratch(Address("prompts", meant[:32]))
    for name in given.images:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path / name, target)
    lines = [json.dumps({"file": n, "text": table[n]}) for n in given.images]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _prompts(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file of prompts")
    table: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason})") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            table[str(row["file"])] = str(row["text"])
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f'{path}:{number}: not a prompt; each line is {{"file": NAME, "text": CAPTION}}'
            ) from None
    return table


def side_of(given: Given) -> int | None:
    """Return the resolution at which one side is scored, or None for features."""
    if isinstance(given.source, ImageSource):
        return int(given.source.source["resolution"])
    return given.provenance.resolution if given.provenance else None
