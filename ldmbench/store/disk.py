"""The store on disk: look up, write to a temporary neighbour, move into place, lock."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from ldmbench.errors import StoreError
from ldmbench.schema.stage import Manifest
from ldmbench.store.artifact import (
    MANIFEST,
    SEAL,
    DamageError,
    Digests,
    check_digests,
    check_foreign,
    check_manifest,
    check_sizes,
    is_looked_at,
    read_manifest,
    seal_of,
)
from ldmbench.store.faults import FORBIDDEN, explaining_os_errors, possible

_KEY = re.compile(r"[\w-]+", re.ASCII)
LOG = logging.getLogger("ldmbench")
Shard = tuple[int, int]

DAMAGED = ".damaged"
"""How the name of a checkpoint ends that was found damaged."""


def is_key(text: str) -> bool:
    """Tell whether a text can be a key: a name of a folder, and no way out of the store."""
    return _KEY.fullmatch(text) is not None


@dataclass(frozen=True)
class Address:
    """Where an artefact lies: kind, key and, when it is a shard, its range."""

    kind: str
    key: str
    shard: Shard | None = None

    @property
    def name(self) -> str:
        """A name that is unique in the store and safe as a file name."""
        end = f"-{self.shard[0]:08d}-{self.shard[1]:08d}" if self.shard else ""
        return f"{self.kind}-{self.key}{end}"


@dataclass
class Store:
    """A content-addressed folder of committed stage outputs.

    Attributes:
        root: the folder.
        warnings: what was found damaged and set aside while this object lived.
        heard: somebody passes on `warnings`; else each is logged.
        lost: names of the artefacts that were set aside and not built again yet.
    """

    root: Path
    warnings: list[str] = field(default_factory=list)
    heard: bool = False
    lost: set[str] = field(default_factory=set)
    _digests: Digests = field(default_factory=Digests)

    def open(self) -> None:
        """Make the folders of the store, and remove what killed runs left behind.

        Raises:
            InputError: if no store can be kept there.
            StoreError: if the disk is full or fails.
        """
        with explaining_os_errors(self.root):
            with possible(
                f"{self.root}: no store can be kept there", "choose another folder with --store DIR"
            ):
                for name in ("tmp", "scratch", "locks", "runs"):
                    self._make(self.root / name)
                probe = self.root / "tmp" / f"probe-{uuid.uuid4().hex}"
                probe.write_bytes(b"")
                probe.unlink()
            self.sweep()

    def folder(self, address: Address) -> Path:
        """Return where an artefact lies or would lie.

        Raises:
            StoreError: if its key is no name of a folder: it could lie anywhere.
        """
        if not is_key(address.key):
            raise StoreError(f"'{address.key}' is not a key of a store")
        folder = self.root / address.kind / address.key
        return (
            folder / f"{address.shard[0]:08d}-{address.shard[1]:08d}" if address.shard else folder
        )

    def lookup(self, address: Address, *, verify: bool = False) -> Manifest | None:
        """Return the manifest of a committed artefact, or None.

        A damaged one is set aside, named in `warnings`, and counts as not there. Sizes and the
        digests of texts are compared at every look, those of arrays and weights when they are read.

        Args:
            address: which artefact.
            verify: compare every digest, and look for foreign files.
        """
        folder = self.folder(address)
        try:
            manifest = read_manifest(folder)
            if Address(manifest.kind, manifest.key, manifest.shard) != address:
                raise DamageError("it belongs to another key")
            # Compare seal, sizes and the digests that this look needs.
            check_manifest(folder, manifest)
            check_sizes(folder, manifest)
            names = [name for name in manifest.outputs if verify or is_looked_at(name)]
            check_digests(folder, manifest, names, self._digests)
            if verify:
                check_foreign(folder, manifest)
        except (FileNotFoundError, NotADirectoryError):
            if folder.is_dir() and (address.shard or not _has_shards(folder)) and _files(folder):
                if (folder / MANIFEST).is_file():  # committed by another since it was looked for
                    return self.lookup(address, verify=verify)
                self.set_aside(address, "it has no manifest")
            return None
        except DamageError as damage:
            self.set_aside(address, str(damage))
            return None
        except OSError as error:
            raise StoreError(f"{folder}: cannot be read: {error.strerror or error}") from None
        return manifest

    def file(self, address: Address, name: str) -> Path | None:
        """Return a file of a committed artefact, whole by its digest; None where there is none."""
        manifest = self.lookup(address)
        if manifest is None or name not in manifest.outputs:
            return None
        folder = self.folder(address)
        try:
            check_digests(folder, manifest, [name], self._digests)
        except DamageError as damage:
            self.set_aside(address, str(damage))
            return None
        except OSError as error:
            raise StoreError(
                f"{folder / name}: cannot be read: {error.strerror or error}"
            ) from None
        return folder / name

    def set_aside(self, address: Address, why: str) -> None:
        """Move a damaged artefact out of the way, keeping it for inspection."""
        self.lost.add(address.name)
        end = "built again" if self.heard else "built again by the next run that needs it"
        self.put_aside(self.folder(address), f"{address.name}: {why}", address.name, end=end)

    def put_aside(self, path: Path, what: str, name: str = "", *, end: str) -> None:
        """Move whatever lies at a path to damaged/, and say so.

        Args:
            path: of a file or folder in the store.
            what: which it is, and what is wrong with it.
            name: what it is called there; its path when unset.
            end: what becomes of it.
        """
        aside = self.root / "damaged"
        if _is_misplaced(aside):
            aside.rename(self.root / f"damaged-{uuid.uuid4().hex[:6]}")
        name = name or "-".join(path.relative_to(self.root).parts)
        target = aside / f"{name}-{uuid.uuid4().hex[:6]}"
        with explaining_os_errors(self.root):
            try:
                aside.mkdir(exist_ok=True)
                path.rename(target)
            except FileNotFoundError:  # another has moved it
                pass
            except OSError as error:
                if error.errno not in FORBIDDEN:
                    raise
                self.tell(f"{what}; it cannot be moved: no permission to write")
                return
        self.tell(f"{what}; set aside in {target} and {end}")

    def tell(self, text: str) -> None:
        """Note what was found; log it where nobody passes notes on."""
        self.warnings.append(text)
        if not self.heard:
            LOG.warning(text)

    def _make(self, folder: Path) -> None:
        """Make a folder of the store; whatever else stands in its place, or above, makes room."""
        for part in (*reversed(folder.parents), folder):
            if part.is_relative_to(self.root) and part != self.root and _is_misplaced(part):
                self.put_aside(part, f"{part}: it is no folder", end="made in its place")
        folder.mkdir(parents=True, exist_ok=True)

    def temporary(self, address: Address) -> Path:
        """Return a fresh folder on the same file system, to be committed or dropped."""
        folder = self.root / "tmp" / f"{address.name}-{uuid.uuid4().hex[:8]}"
        with explaining_os_errors(self.root):
            self._make(folder)
        return folder

    def commit(self, temporary: Path, manifest: Manifest) -> None:
        """Move a finished folder into place, all or nothing; an older one makes room."""
        address = Address(manifest.kind, manifest.key, manifest.shard)
        target = self.folder(address)
        with explaining_os_errors(self.root):
            text = manifest.model_dump_json(indent=1)
            (temporary / SEAL).write_text(seal_of(text.encode()), "ascii")
            with (temporary / MANIFEST).open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self._make(target.parent)
            if target.exists() or target.is_symlink():
                old = self.root / "tmp" / f"old-{uuid.uuid4().hex[:8]}"
                target.rename(old)
                _remove(old)
            temporary.rename(target)
            for name, entry in manifest.outputs.items():
                self._digests.learn(target / name, str(entry["sha256"]))
        self.lost.discard(address.name)

    def scratch(self, address: Address, *, made_by: str = "") -> Path:
        """Return the folder in which a stage keeps checkpoints between attempts.

        Args:
            address: of the artefact.
            made_by: what else than the address decides on its content; what was kept under another
                value is removed, and `warnings` says so.
        """
        folder = self.root / "scratch" / address.name
        stamp = folder / "made_by"
        with explaining_os_errors(self.root):
            self._make(folder)
            kept = [path for path in folder.iterdir() if path != stamp]
            before = stamp.read_bytes() if stamp.is_file() else b""
            if made_by and before != made_by.encode():
                _remove(folder)
                folder.mkdir()
                draft = folder / ".made_by"
                draft.write_text(made_by, "utf-8")
                draft.replace(stamp)
                if kept:
                    self.tell(
                        f"{address.name}: a checkpoint of other code or other inputs is not used;"
                        " the stage starts from the beginning"
                    )
        return folder

    def states(self, training: str, *, made_by: str, anew: bool = False) -> Path:
        """Return the folder of the states in which trainings ended that differ in length alone.

        Args:
            training: what they share.
            made_by: code and inputs that decide on the states.
            anew: removes what is there.
        """
        folder = self.root / "states" / f"{training}-{made_by[:16]}"
        with explaining_os_errors(self.root):
            if anew:
                shutil.rmtree(folder, ignore_errors=True)
            self._make(folder)
        return folder

    def drop_scratch(self, address: Address) -> None:
        """Forget the checkpoints of a stage that is committed, but for those that are damaged."""
        folder = self.root / "scratch" / address.name
        for path in folder.glob(f"*{DAMAGED}") if folder.is_dir() else ():
            with contextlib.suppress(OSError):
                (self.root / "damaged").mkdir(exist_ok=True)
                path.rename(self.root / "damaged" / f"{address.name}-{path.name}")
        shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, address: Address, *, timeout: float = -1) -> Iterator[bool]:
        """Hold the right to make an artefact; yields False if another holds it past `timeout`."""
        path = self.root / "locks" / f"{address.name}.lock"
        lock = FileLock(path)
        with explaining_os_errors(self.root):
            if path.is_symlink() or path.is_dir():
                self.put_aside(path, f"{path}: it is no lock", end="made in its place")
            try:
                lock.acquire(timeout=timeout)
            except Timeout:
                held = False
            else:
                held = True
        if not held:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def sweep(self) -> None:
        """Remove what killed runs left in tmp/: a day old, and of an artefact that nobody makes."""
        for path in (self.root / "tmp").iterdir():
            with contextlib.suppress(OSError):
                if _age_hours(path) < 24:
                    continue
                owner = re.fullmatch(r"(.+)-[0-9a-f]{8}(-\d+)?", path.name)
                lock = FileLock(self.root / "locks" / f"{owner[1] if owner else path.name}.lock")
                with contextlib.suppress(Timeout), lock.acquire(timeout=0):
                    _remove(path)

    def manifests(self, kind: str) -> Iterator[Manifest]:
        """Yield the manifests of one kind, one per key."""
        for folder in sorted((self.root / kind).glob("*")):
            for path in (folder / MANIFEST, *sorted(folder.glob(f"*/{MANIFEST}"))[:1]):
                with contextlib.suppress(OSError, DamageError):
                    yield read_manifest(path.parent)
                    break


def _remove(path: Path) -> None:
    """Remove a folder, or whatever else stood in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_misplaced(path: Path) -> bool:
    """Tell whether something that is no folder stands where a folder belongs."""
    return os.path.lexists(path) and not path.is_dir()


def _has_shards(folder: Path) -> bool:
    return any(p.is_dir() for p in folder.iterdir())


def _files(folder: Path) -> bool:
    return any(p.is_file() for p in folder.iterdir())


def _age_hours(path: Path) -> float:
    return (time.time() - path.lstat().st_mtime) / 3600
