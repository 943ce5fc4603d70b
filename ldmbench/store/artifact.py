"""One artefact: a folder with its manifest; opened for reading, checked by digest."""

from __future__ import annotations

import errno
import json
from pathlib import Path

from pydantic import ValidationError

from ldmbench.canonical import digest, digest_file
from ldmbench.errors import StoreError
from ldmbench.schema.stage import Manifest

MANIFEST = "manifest.json"
API_VERSION: int = Manifest.model_fields["api_version"].default
ACCOUNTS = ("cost.json",)
"""Files that tell what a stage took: kept and checked, but no part of what it made."""


class DamageError(Exception):
    """An artefact is not what its manifest says; never leaves the store."""


def outputs_of(folder: Path) -> dict[str, dict[str, str | int]]:
    """Return file -> sha256 and bytes for every file of an artefact but its manifest."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {
        path.relative_to(folder).as_posix(): {
            "sha256": digest_file(path),
            "bytes": path.stat().st_size,
        }
        for path in files
    }


def outputs_digest(outputs: dict[str, dict[str, str | int]]) -> str:
    """Return the digest of what a stage made: names and contents, without its accounts."""
    made = {n: entry["sha256"] for n, entry in outputs.items() if Path(n).name not in ACCOUNTS}
    return digest(made)


def read_manifest(folder: Path) -> Manifest:
    """Read an artefact's manifest.

    Raises:
        FileNotFoundError: if there is none.
        DamageError: if it is damaged or foreign.
        StoreError: if a newer version made it.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = Manifest.model_validate_json(text)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ELOOP):
            raise DamageError(f"the manifest is no file ({error.strerror})") from None
        raise
    except ValidationError as error:
        _refuse_newer(folder, text)
        raise DamageError(f"the manifest is damaged ({error.errors()[0]['msg']})") from None
    _refuse_newer(folder, text)
    for name, entry in manifest.outputs.items():
        if not _is_output(name, entry):
            raise DamageError("the manifest is damaged (an output is none)")
    return manifest


def _refuse_newer(folder: Path, text: bytes) -> None:
    """Leave alone what a later version wrote."""
    try:
        version = json.loads(text)["api_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if isinstance(version, int) and version > API_VERSION:
        raise StoreError(
            f"{folder}: a newer ldmbench made it (api_version {version}; this one understands"
            f" {API_VERSION}); upgrade ldmbench, or choose another store with --store DIR"
        )


def _is_output(name: str, entry: dict[str, str | int]) -> bool:
    """Tell whether a line of a manifest names a file of its own folder, a digest and a size."""
    inside = not name.startswith("/") and ".." not in Path(name).parts and "\0" not in name
    whole = isinstance(entry.get("sha256"), str) and isinstance(entry.get("bytes"), int)
    return inside and whole and max(map(len, Path(name).parts), default=256) < 256


def check_sizes(folder: Path, manifest: Manifest) -> None:
    """Check quickly that every output is there with its size.

    Raises:
        DamageError: naming the first file that is not.
    """
    for name, entry in manifest.outputs.items():
        path = folder / name
        if not path.is_file():
            raise DamageError(f"{name} is missing")
        if path.stat().st_size != entry["bytes"]:
            raise DamageError(f"{name} has {path.stat().st_size} bytes, expected {entry['bytes']}")


def check_digests(folder: Path, manifest: Manifest) -> None:
    """Check that every output has the bytes that were committed, and that none was added.

    Raises:
        DamageError: naming the first file that does not.
    """
    check_sizes(folder, manifest)
    for name, entry in manifest.outputs.items():
        if digest_file(folder / name) != entry["sha256"]:
            raise DamageError(f"{name} does not have the digest it was committed with")
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        known = name in manifest.outputs or name == MANIFEST or path.name.startswith(".")
        if not known and not path.is_dir():  # hidden ones are the file system's own, such as .nfs*
            raise DamageError(f"{name} is foreign to it")
    if outputs_digest(manifest.outputs) != manifest.digest:
        raise DamageError("the manifest does not agree with itself")
