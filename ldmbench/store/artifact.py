"""One artefact: a folder with its manifest; opened for reading, checked by digest."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ldmbench.canonical import digest, digest_file
from ldmbench.schema.stage import Manifest

MANIFEST = "manifest.json"
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
    """
    text = (folder / MANIFEST).read_bytes()
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise DamageError(f"the manifest is damaged ({error.errors()[0]['msg']})") from None


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
    if outputs_digest(manifest.outputs) != manifest.digest:
        raise DamageError("the manifest does not agree with itself")
