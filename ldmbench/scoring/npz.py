"""What an npz of a person may hold: features, statistics, a built reference's provenance."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from ldmbench.canonical import digest_file
from ldmbench.catalog.metrics import SCORABLE
from ldmbench.errors import InputError
from ldmbench.metrics.moments import why_no_covariance
from ldmbench.schema.reference import Reference

Array = npt.NDArray[Any]
STATISTICS = {n: row.family.statistics for n, row in SCORABLE.items() if row.family.statistics}
"""Metric -> the mean and covariance that serve it, as guided-diffusion names them."""
PACKED = (2**30, 100)
"""Bytes of an array, and how much smaller it is in a file, beyond which it holds nothing but one
value: no features pack so well."""
LARGEST_VALUE = 1e45
"""Largest feature whose square and cube are finite."""


def members(path: Path) -> set[str]:
    """Return the names of the arrays of an npz.

    Raises:
        InputError: if it is no readable npz.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable npz ({error}); fetch or save it again") from None


def read_array(path: Path, name: str) -> Array:
    """Return an array of floats, all finite.

    Raises:
        InputError: if it cannot be read (pickled objects are not), or is no such array.
    """
    _refuse_bomb(path, name)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found: Array = arrays[name]
    except (OSError, KeyError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: {name} cannot be read ({error})") from None
    except (NotImplementedError, RuntimeError, OverflowError, TypeError, zlib.error) as error:
        raise InputError(f"{path}: {name} cannot be read ({error}); save it again") from None
    return checked(path, name, found)


def _refuse_bomb(path: Path, name: str) -> None:
    """Refuse an array that is far larger than its file: memory would be taken for nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{name}.npy")
    except (OSError, KeyError, zipfile.BadZipFile):
        return  # said of it when it is read
    there = min(info.compress_size, path.stat().st_size)
    if info.file_size > max(PACKED[0], PACKED[1] * there):
        raise InputError(
            f"{path}: {name} is {info.file_size:,} bytes, packed into {there:,}: no features of"
            " images pack so well; save it again with numpy.savez"
        )


def checked(path: Path, name: str, found: Array) -> Array:
    """Return an array of floats, all finite.

    Raises:
        InputError: if it is no such array.
    """
    if not isinstance(found, np.ndarray) or not np.issubdtype(found.dtype, np.floating):
        kind = getattr(found, "dtype", "no array")
        raise InputError(f"{path}: {name} is {kind}; save it as float32 or float64")
    if not np.isfinite(found).all():
        bad = int(found.size - np.isfinite(found).sum())
        raise InputError(f"{path}: {name} holds {bad} values that are NaN or infinite")
    return found


def read_rows(path: Path, name: str, count: int | None = None) -> Array:
    """Return an array (N, D), N and D at least 1.

    Raises:
        InputError: if it is of another shape, or has not `count` rows.
    """
    found = read_array(path, name)
    if found.ndim != 2 or 0 in found.shape:
        raise InputError(f"{path}: {name} is {found.shape}; expected (N, D)")
    if max(float(found.max()), -float(found.min())) >= LARGEST_VALUE:
        raise InputError(
            f"{path}: {name} holds values beyond {LARGEST_VALUE:.0e};"
            " check the program that wrote them"
        )
    if count is not None and len(found) != count:
        raise InputError(
            f"{path}: features and {name} have different numbers of rows, {count} and {len(found)}"
        )
    return found


def read_statistics(path: Path, names: set[str]) -> dict[str, tuple[Array, Array]]:
    """Return metric -> (mean, covariance) of those that a file holds.

    Raises:
        InputError: if their shapes do not fit, or a covariance is none.
    """
    return {
        metric: covariance(path, (mean, read_array(path, mean)), (cov, read_array(path, cov)))
        for metric, (mean, cov) in STATISTICS.items()
        if {mean, cov} <= names
    }


def covariance(path: Path, mean: tuple[str, Array], cov: tuple[str, Array]) -> tuple[Array, Array]:
    """Return a mean and a covariance in float64, each given with its name.

    Raises:
        InputError: if their shapes do not fit, or the covariance is none.
    """
    for name, found in (mean, cov):
        if found.dtype.kind == "f" and found.dtype.itemsize < 4:
            raise InputError(
                f"{path}: {name} is {found.dtype}, which keeps three digits of a covariance;"
                " save it as float32 or float64"
            )
    mu, sigma = (checked(path, *part).astype(np.float64) for part in (mean, cov))
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or not len(mu):
        raise InputError(
            f"{path}: {mean[0]} is {mu.shape} and {cov[0]} {sigma.shape}; expected (D,), (D, D)"
        )
    if np.abs(sigma - sigma.T).max() > 1e-6 * max(1e-300, np.abs(sigma).max()):
        raise InputError(f"{path}: {cov[0]} is not symmetric, so it is no covariance")
    if fault := why_no_covariance(sigma):
        raise InputError(
            f"{path}: {cov[0]} {fault}, so it is no covariance; compute it from features in float64"
        )
    return mu, sigma


def provenance_file(path: Path) -> Path:
    """Return where the provenance of a reference lies."""
    return path.with_suffix(".json")


def read_provenance(path: Path) -> Reference | None:
    """Return what lies beside a reference, or None; another JSON of that name is left alone.

    Raises:
        InputError: if it is damaged, or belongs to another file.
    """
    beside = provenance_file(path)
    data = beside.read_bytes() if beside.is_file() else b""
    if not _is_provenance(data):
        return None
    try:
        found = Reference.model_validate_json(data)
    except ValidationError as error:
        raise InputError(f"{beside}: no provenance ({error.errors()[0]['msg']})") from None
    if digest_file(path) != found.sha256:
        raise InputError(
            f"{path}: is not the file that {beside.name} describes (sha256 differs); build the"
            " reference again"
        )
    return found


def _is_provenance(data: bytes) -> bool:
    """Tell the provenance of a reference, even a damaged one, from any other file."""
    try:
        held = json.loads(data)
    except (ValueError, RecursionError):
        return b'"api_version"' in data
    return isinstance(held, dict) and not held.keys().isdisjoint(("api_version", "sha256"))
