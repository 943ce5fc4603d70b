"""One artefact: a folder with its manifest; opened for reading, checked by digest."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ldmbench.canonical import Stamp, digest, digest_file, is_settled, stamp_of
from ldmbench.errors import StoreError
from ldmbench.schema.stage import Manifest

MANIFEST = "manifest.json"
SEAL = ".seal"
"""A file beside the manifest with digests of what it says; older versions made none."""
SMALL = 2**16
"""Bytes of a file that is digested whenever it is read: to remember saves nothing."""
SETTLED_NS = 20_000_000
"""Age after which a change of a file shows in its times."""
API_VERSION: int = Manifest.model_fields["api_version"].default
ACCOUNTS = ("cost.json",)
"""Files that tell what a stage took: kept and checked, but no part of what it made."""
TEXTS = (".json", ".jsonl")
ARRAYS = ("bits.npy", "perceptual.npy", "codes.npy", "replicates.npz")
"""Arrays that the collector reads itself, beside texts: compared by digest at every look."""


class DamageError(Exception):
    """An artefact is not what its manifest says; never leaves the store."""


def outputs_of(folder: Path) -> dict[str, dict[str, str | int]]:
    """Return file -> sha256 and bytes for every file of an artefact but its manifest and seal."""
    own = (MANIFEST, SEAL)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in own)
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


def is_looked_at(name: str) -> bool:
    """Tell whether planner and collector read a file themselves, and no worker alone."""
    return name.endswith(TEXTS) or Path(name).name in ARRAYS


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


def seal_of(text: bytes) -> str:
    """Return the seal of a manifest's text: digests of what it says, and of its origins.

    Which code made an artefact is no part of it: what another code made is served, and named.
    Scores may have lost what they kept of images and captions, but not have it changed.
    """
    said = json.loads(text)
    said.pop("code", None)
    inputs = said.get("input_digests", {})
    kept = {role: inputs.pop(role) for role in sorted(inputs) if "/" in role}
    return "\n".join(digest(part) for part in (said, kept)) + "\n"


def check_manifest(folder: Path, manifest: Manifest) -> None:
    """Check that a manifest says what it said when it was committed.

    Raises:
        DamageError: if it does not.
    """
    if outputs_digest(manifest.outputs) != manifest.digest:
        raise DamageError("the manifest does not agree with itself")
    try:
        sealed = (folder / SEAL).read_bytes().decode("ascii", "replace").split()
        found = seal_of((folder / MANIFEST).read_bytes()).split()
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, RecursionError, AttributeError):
        raise DamageError("the manifest or its seal is damaged") from None
    lost_origins = not any("/" in role for role in manifest.input_digests)
    if sealed[:1] != found[:1] or (sealed[1:] != found[1:] and not lost_origins):
        raise DamageError("the manifest does not match its seal: it was changed")


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


def check_digests(folder: Path, manifest: Manifest, names: Iterable[str], known: Digests) -> None:
    """Check that outputs have the bytes that were committed.

    Args:
        folder: of the artefact.
        manifest: its manifest.
        names: of the outputs.
        known: digests of files that did not change since they were read.

    Raises:
        DamageError: naming the first file that has others.
    """
    for name in names:
        if known.of(folder / name) != manifest.outputs[name]["sha256"]:
            raise DamageError(f"{name} does not have the digest it was committed with")


def check_foreign(folder: Path, manifest: Manifest) -> None:
    """Check that no file was added to an artefact.

    Raises:
        DamageError: naming the first that was.
    """
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        known = name in manifest.outputs or name == MANIFEST or path.name.startswith(".")
        if not known and not path.is_dir():  # hidden ones are the file system's own, such as .nfs*
            raise DamageError(f"{name} is foreign to it")


class Digests:
    """Digests of files: of large ones once, as long as nothing tells that they changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, str]] = {}

    def of(self, path: Path) -> str:
        """Return a file's sha256."""
        before = stamp_of(path.stat())
        known = self._known.get(path)
        if known and known[0] == before:
            return known[1]
        found = digest_file(path)
        self.learn(path, found, before)
        return found

    def learn(self, path: Path, sha256: str, state: Stamp | None = None) -> None:
        """Keep the digest of a file that was just read or written.

        A file that changed this very moment may change again within the same tick of the clock.
        """
        now = stamp_of(path.stat())
        settled = is_settled(now, SETTLED_NS)
        if now[2] > SMALL and settled and state in (None, now):
            self._known[path] = now, sha256
