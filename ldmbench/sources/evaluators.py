"""Evaluator weights on disk: found, downloaded with their digest, imported; no torch.

A file is looked for in the package, then in LDMBENCH_WEIGHTS (else ~/.cache/ldmbench/weights).
Nothing is used before its digest was checked.
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

from ldmbench.canonical import digest_file
from ldmbench.errors import InputError
from ldmbench.offline import is_offline
from ldmbench.schema.weights import SHIPPED, WEIGHTS, Weights, weights_named

__all__ = [
    "WeightsState",
    "import_weights",
    "list_weights",
    "verify_weights",
    "weights_folder",
    "weights_path",
]

TIMEOUT = 60
PIECE = 1 << 20
"""Bytes that a download reads at once."""

Fetched = Callable[[Weights, int], None]
"""Called with how many bytes of which weights have come; 0 when a download begins."""


@dataclass(frozen=True)
class WeightsState:
    """What is known of one row of the table.

    Attributes:
        weights: the row.
        path: where the file lies, or would lie once it is imported or downloaded.
        state: "present" (not read), "verified", "damaged" (another digest) or "missing".
    """

    weights: Weights
    path: Path
    state: Literal["present", "verified", "damaged", "missing"]


def weights_folder() -> Path:
    """Return the folder of downloaded and imported weights."""
    named = os.environ.get("LDMBENCH_WEIGHTS")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "ldmbench" / "weights"


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
    path = _place(weights)
    if not path.is_file():
        if is_offline() if offline is None else offline:
            raise InputError(_missing(weights, "this run is offline"))
        _download(weights, path, fetched)
    elif digest_file(path) != weights.sha256:
        raise InputError(_damaged(weights, path))
    return path


def list_weights() -> tuple[WeightsState, ...]:
    """Return all rows and whether their files are there; no file is read."""
    places = [(w, _place(w)) for w in WEIGHTS]
    return tuple(WeightsState(w, p, "present" if p.is_file() else "missing") for w, p in places)


def verify_weights(*names: str) -> tuple[WeightsState, ...]:
    """Return the named rows (all when none is named) with the digest of each file checked."""
    for name in names:
        weights_named(name)
    return tuple(
        WeightsState(found.weights, found.path, _verified(found))
        for found in list_weights()
        if not names or found.weights.name in names
    )


def import_weights(path: Path) -> Path:
    """Copy a file that was fetched elsewhere into the weights folder; its digest says what it is.

    Returns:
        where the file now lies.

    Raises:
        InputError: if the file is not there, or its digest is not that of any known weights.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file; give the path of a file of weights")
    found = digest_file(path)
    table = {w.sha256: w for w in WEIGHTS}
    if found not in table:
        raise InputError(
            f"{path} has the sha256 {found}, which no known weights have; "
            "`ldmbench weights list` shows the files and digests that are used"
        )
    target = _place(table[found])
    if target.is_file() and digest_file(target) == found:
        return target
    with _neighbour(target) as partial:
        shutil.copyfile(path, partial)
        partial.replace(target)
    return target


def _place(weights: Weights) -> Path:
    if weights.shipped:
        return SHIPPED / weights.file
    return weights_folder() / weights.name / weights.file


def _verified(found: WeightsState) -> Literal["verified", "damaged", "missing"]:
    if found.state == "missing":
        return "missing"
    return "verified" if digest_file(found.path) == found.weights.sha256 else "damaged"


def _download(weights: Weights, path: Path, fetched: Fetched) -> None:
    """Fetch to a neighbour, check the digest, move into place."""
    if weights.url is None:
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
    source = f", from {weights.url}" if weights.url else ""
    return (
        f"the weights '{weights.name}' are missing and {reason}: get the file {weights.file} "
        f"({weights.bytes:,} bytes, sha256 {weights.sha256}{source}) and "
        f"put it at {_place(weights)}, or run `ldmbench weights import FILE`"
    )


def _damaged(weights: Weights, path: Path) -> str:
    return (
        f"{path} has the sha256 {digest_file(path)}, expected {weights.sha256} for "
        f"'{weights.name}'; remove the file and fetch or import it again"
    )
