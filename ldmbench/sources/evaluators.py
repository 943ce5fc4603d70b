"""Evaluator weights on disk: found, downloaded with their digest, imported; no torch.

A file is looked for in the package, then in LDMBENCH_WEIGHTS (else ~/.cache/ldmbench/weights).
Nothing is used before its digest was checked: the published one, or where none is published that
we know, the one that was pinned when the file was imported by name.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from ldmbench.canonical import digest, digest_file
from ldmbench.catalog.extractors import ExtractorSpec
from ldmbench.errors import InputError
from ldmbench.offline import is_offline
from ldmbench.schema.weights import SHIPPED, WEIGHTS, Pin, Weights, weights_named
from ldmbench.sources.models.strangers import mentioned
from ldmbench.sources.pins import read_pin, write_pin

__all__ = [
    "UNPINNED",
    "WeightsState",
    "extractor_digest",
    "import_weights",
    "list_weights",
    "verify_weights",
    "weights_digest",
    "weights_folder",
    "weights_path",
]

TIMEOUT = 60
PIECE = 1 << 20
"""Bytes that a download reads at once."""
UNPINNED = "not imported"
"""Stands in a plan for the digest of weights that are to be imported by name before a run."""

_OF_TRANSFORMERS = (
    "embeddings.patch_embeddings.projection.weight",
    "layer.0.attention.attention.query.weight",
    "layer_scale1.lambda1",
)
"""Parts of names of a Dinov2Model, and of no file that is read."""

Fetched = Callable[[Weights, int], None]
"""Called with how many bytes of which weights have come; 0 when a download begins."""
Check = Callable[[str, Path], None]
"""Raises InputError if a file does not hold the weights of a name: (name, file)."""


@dataclass(frozen=True)
class WeightsState:
    """What is known of one row of the table.

    Attributes:
        weights: the row.
        path: where the file lies, or would lie once it is imported or downloaded.
        state: "present" (not read), "verified", "damaged" (another digest) or "missing".
        pin: what was kept when a file without a published digest was imported.
    """

    weights: Weights
    path: Path
    state: Literal["present", "verified", "damaged", "missing"]
    pin: Pin | None = None

    @property
    def sha256(self) -> str | None:
        """The digest that the file must have."""
        return self.pin.sha256 if self.pin else self.weights.sha256

    @property
    def bytes(self) -> int | None:
        """Size of the file, where it is known."""
        return self.pin.bytes if self.pin else self.weights.bytes

    @property
    def origin(self) -> str:
        """Whose word the digest is."""
        if self.weights.sha256:
            return "shipped" if self.weights.shipped else "published digest"
        return f"pinned by import {self.pin.imported}" if self.pin else "import with --as"


def weights_folder() -> Path:
    """Return the folder of downloaded and imported weights."""
    named = os.environ.get("LDMBENCH_WEIGHTS")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "ldmbench" / "weights"


def weights_digest(name: str) -> str:
    """Return the sha256 of these weights: published, else pinned, else UNPINNED.

    Raises:
        InputError: if the name is unknown, or the pin cannot be read.
    """
    weights = weights_named(name)
    if weights.sha256:
        return weights.sha256
    pin = _pin(weights)
    return pin.sha256 if pin else UNPINNED


def extractor_digest(spec: ExtractorSpec) -> str:
    """Return what keys and signatures call an extractor's weights; of two files, one digest."""
    found = weights_digest(spec.weights)
    if not spec.tokenizer:
        return found
    read = weights_digest(spec.tokenizer)
    return UNPINNED if UNPINNED in (found, read) else digest([found, read])


def weights_path(
    name: str, *, offline: bool | None = None, fetched: Fetched = lambda *_: None
) -> Path:
    """Return the file of these weights, its digest checked; fetch it when it is not there.

    Args:
        name: a row of ldmbench.schema.weights.WEIGHTS.
        offline: open no connection; None asks LDMBENCH_OFFLINE.
        fetched: called with how a download goes; never called when there is none.

    Raises:
        InputError: if the name is unknown, the file has another digest, or it is missing and
            cannot be fetched; the message has the file's name, size, digest and place.
    """
    weights = weights_named(name)
    path, expected = _place(weights), weights_digest(name)
    if expected == UNPINNED:
        raise InputError(_unpinned(weights))
    if not path.is_file():
        if is_offline() if offline is None else offline:
            raise InputError(_missing(weights, "this run is offline"))
        _download(weights, path, fetched)
    elif digest_file(path) != expected:
        raise InputError(_damaged(weights, path, expected))
    return path


def list_weights() -> tuple[WeightsState, ...]:
    """Return all rows and whether their files are there; no weights are read."""
    return tuple(_state(weights) for weights in WEIGHTS)


def verify_weights(*names: str) -> tuple[WeightsState, ...]:
    """Return the named rows (all when none is named) with the digest of each file checked."""
    for name in names:
        weights_named(name)
    return tuple(
        WeightsState(found.weights, found.path, _verified(found), found.pin)
        for found in list_weights()
        if not names or found.weights.name in names
    )


def import_weights(path: Path, name: str | None = None, *, check: Check | None = None) -> Path:
    """Copy a file that was fetched elsewhere into the weights folder.

    Args:
        path: the file.
        name: the row that it is of; None: its digest says so, which must be a known one.
        check: of a file without a published digest; called before it is copied and pinned.

    Returns:
        where the file now lies.

    Raises:
        InputError: if the file is not there, is not of these weights, its digest is not known, or
            another file is pinned.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file; give the path of a file of weights")
    if mentioned(path, _OF_TRANSFORMERS) == frozenset(_OF_TRANSFORMERS):
        raise InputError(
            f"{path} is DINOv2 as transformers saves it (Dinov2Model), which is not read; allowed"
            " is the file that Meta publishes, such as dinov2_vits14_pretrain.pth"
        )
    row = None if name is None else weights_named(name)
    found = digest_file(path)
    known = {weights_digest(w.name): w for w in WEIGHTS}
    if row is None and found not in known:
        raise InputError(_stranger(path, found))
    row = row or known[found]
    if row.sha256 and found != row.sha256:
        raise InputError(
            f"{path} has the sha256 {found}, expected {row.sha256} for '{row.name}'; fetch it again"
        )
    if not row.sha256:
        _check_pin(row, path, found)
        if check is not None:
            check(row.name, path)
    target = _place(row)
    if not (target.is_file() and digest_file(target) == found):
        with _neighbour(target) as partial:
            shutil.copyfile(path, partial)
            partial.replace(target)
    if not row.sha256 and _pin(row) is None:
        write_pin(target, found)
    return target


def _check_pin(row: Weights, path: Path, found: str) -> None:
    pin = _pin(row)
    if pin and pin.sha256 != found:
        raise InputError(
            f"{path} has the sha256 {found}, and '{row.name}' is pinned to {pin.sha256} since"
            f" {pin.imported}; remove {_place(row).parent} first if this file is meant from now on"
        )


def _place(weights: Weights) -> Path:
    if weights.shipped:
        return SHIPPED / weights.file
    return weights_folder() / weights.name / weights.file


def _pin(weights: Weights) -> Pin | None:
    """Return what was kept when the file was imported; None: none was."""
    return read_pin(_place(weights), weights.name)


def _state(weights: Weights) -> WeightsState:
    path, pin = _place(weights), None if weights.sha256 else _pin(weights)
    there = path.is_file() and bool(weights.sha256 or pin)
    return WeightsState(weights, path, "present" if there else "missing", pin)


def _verified(found: WeightsState) -> Literal["verified", "damaged", "missing"]:
    if found.state == "missing":
        return "missing"
    return "verified" if digest_file(found.path) == found.sha256 else "damaged"


def _download(weights: Weights, path: Path, fetched: Fetched) -> None:
    """Fetch to a neighbour, check the digest, move into place."""
    if weights.url is None or weights.sha256 is None:
        raise InputError(_missing(weights, "there is no address to fetch it from"))
    fetched(weights, 0)
    with _neighbour(path) as partial:
        try:
            with (
                urllib.request.urlopen(weights.url, timeout=TIMEOUT) as response,
                partial.open("wb") as file,
            ):
                while piece := response.read(PIECE):
                    file.write(piece)
                    fetched(weights, file.tell())
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise InputError(
                _missing(weights, f"{weights.url} cannot be read ({reason})")
            ) from error
        found = digest_file(partial)
        if found != weights.sha256:
            raise InputError(
                f"{weights.url} gave a file with the sha256 {found}, expected {weights.sha256}; "
                "it was thrown away: try again, or import the file by hand"
            )
        partial.replace(path)


@contextmanager
def _neighbour(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; what is left there is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _missing(weights: Weights, reason: str) -> str:
    if weights.sha256 is None:
        return f"the weights '{weights.name}' are missing and {reason}; {_how(weights)}"
    source = f", from {weights.url}" if weights.url else ""
    return (
        f"the weights '{weights.name}' are missing and {reason}: get the file {weights.file} "
        f"({weights.bytes or 0:,} bytes, sha256 {weights.sha256}{source}) and "
        f"put it at {_place(weights)}, or run `ldmbench weights import FILE`"
    )


def _unpinned(weights: Weights) -> str:
    return (
        f"the weights '{weights.name}' are not imported, and no digest of them is known by which"
        f" they could be fetched; {_how(weights)}"
    )


def _how(weights: Weights) -> str:
    return (
        f"get {weights.file} from {weights.url} and run `ldmbench weights import FILE --as"
        f" {weights.name}`"
    )


def _stranger(path: Path, found: str) -> str:
    named = ", ".join(w.name for w in WEIGHTS if not w.sha256)
    return (
        f"{path} has the sha256 {found}, which no known weights have; `ldmbench weights list` shows"
        " the files and digests that are used. Weights without a published digest are imported by"
        f" name (--as): {named}"
    )


def _damaged(weights: Weights, path: Path, expected: str) -> str:
    return (
        f"{path} has the sha256 {digest_file(path)}, expected {expected} for "
        f"'{weights.name}'; remove the file and fetch or import it again"
    )
