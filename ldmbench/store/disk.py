"""The store on disk: look up, write to a temporary neighbour, move into place, lock."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from ldmbench.errors import InputError, StoreError
from ldmbench.schema.stage import Manifest
from ldmbench.store.artifact import (
    MANIFEST,
    DamageError,
    check_digests,
    check_sizes,
    read_manifest,
)

Shard = tuple[int, int]

FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
MISPLACED = {
    errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG,
}  # fmt: skip
"""What a place gives where no such folder or file can be made: another name is needed."""
HINTS = {
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or move the store with --store DIR",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "the system has no open file left; end other programs",
    errno.ENAMETOOLONG: "move the store to a shorter path with --store DIR",
    errno.EIO: "the disk or the network before it fails; move the store with --store DIR",
    errno.ESTALE: "the network file system lost it; mount it again and run the same command",
}


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
    """

    root: Path
    warnings: list[str] = field(default_factory=list)
    _verified: dict[str, str] = field(default_factory=dict)

    def open(self) -> None:
        """Make the folders of the store, and remove what killed runs left behind.

        Raises:
            InputError: if no store can be kept there.
            StoreError: if the disk is full or fails.
        """
        with told(self.root):
            with possible(
                f"{self.root}: no store can be kept there", "choose another folder with --store DIR"
            ):
                for name in ("tmp", "scratch", "locks", "runs"):
                    (self.root / name).mkdir(parents=True, exist_ok=True)
                probe = self.root / "tmp" / f"probe-{uuid.uuid4().hex}"
                probe.write_bytes(b"")
                probe.unlink()
            self.sweep()

    def folder(self, address: Address) -> Path:
        """Return where an artefact lies or would lie."""
        folder = self.root / address.kind / address.key
        return (
            folder / f"{address.shard[0]:08d}-{address.shard[1]:08d}" if address.shard else folder
        )

    def lookup(self, address: Address, *, verify: bool = False) -> Manifest | None:
        """Return the manifest of a committed artefact, or None.

        A damaged one is set aside, named in `warnings`, and counts as not there.

        Args:
            address: which artefact.
            verify: compare every digest, not only sizes (once per artefact and process).
        """
        folder = self.folder(address)
        try:
            manifest = read_manifest(folder)
            if Address(manifest.kind, manifest.key, manifest.shard) != address:
                raise DamageError("it belongs to another key")
            if verify and self._verified.get(address.name) != manifest.digest:
                check_digests(folder, manifest)
                self._verified[address.name] = manifest.digest
            else:
                check_sizes(folder, manifest)
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
            raise StoreError(f"{folder}: cannot be read: {error.strerror}") from None
        return manifest

    def set_aside(self, address: Address, why: str) -> None:
        """Move a damaged artefact out of the way, keeping it for inspection."""
        folder, aside = self.folder(address), self.root / "damaged"
        with told(self.root):
            aside.mkdir(exist_ok=True)
            target = aside / f"{address.name}-{uuid.uuid4().hex[:6]}"
            with contextlib.suppress(FileNotFoundError):
                folder.rename(target)
        self._verified.pop(address.name, None)
        self.warnings.append(f"{address.name}: {why}; set aside in {target} and made anew")

    def temporary(self, address: Address) -> Path:
        """Return a fresh folder on the same file system, to be committed or dropped."""
        folder = self.root / "tmp" / f"{address.name}-{uuid.uuid4().hex[:8]}"
        with told(self.root):
            folder.mkdir(parents=True)
        return folder

    def commit(self, temporary: Path, manifest: Manifest) -> None:
        """Move a finished folder into place, all or nothing; an older one makes room."""
        address = Address(manifest.kind, manifest.key, manifest.shard)
        target = self.folder(address)
        with told(self.root):
            path = temporary / MANIFEST
            with path.open("w", encoding="utf-8") as file:
                file.write(manifest.model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() or target.is_symlink():
                old = self.root / "tmp" / f"old-{uuid.uuid4().hex[:8]}"
                target.rename(old)
                _remove(old)
            temporary.rename(target)
        self._verified[address.name] = manifest.digest

    def scratch(self, address: Address, *, made_by: str = "") -> Path:
        """Return the folder in which a stage keeps checkpoints between attempts.

        Args:
            address: of the artefact.
            made_by: what else than the address decides on its content; what was kept under another
                value is removed, and `warnings` says so.
        """
        folder = self.root / "scratch" / address.name
        stamp = folder / "made_by"
        with told(self.root):
            before = stamp.read_text("utf-8") if stamp.is_file() else made_by
            if before != made_by:
                shutil.rmtree(folder)
                self.warnings.append(
                    f"{address.name}: a checkpoint of another code or other inputs is dropped; the"
                    " stage begins anew"
                )
            folder.mkdir(parents=True, exist_ok=True)
            if made_by:
                stamp.write_text(made_by, "utf-8")
        return folder

    def drop_scratch(self, address: Address) -> None:
        """Forget the checkpoints of a stage that is committed."""
        shutil.rmtree(self.root / "scratch" / address.name, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, address: Address, *, timeout: float = -1) -> Iterator[bool]:
        """Hold the right to make an artefact; yields False if another holds it past `timeout`."""
        lock = FileLock(self.root / "locks" / f"{address.name}.lock")
        with told(self.root):
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


def _has_shards(folder: Path) -> bool:
    return any(p.is_dir() for p in folder.iterdir())


def _files(folder: Path) -> bool:
    return any(p.is_file() for p in folder.iterdir())


def _age_hours(path: Path) -> float:
    return (time.time() - path.lstat().st_mtime) / 3600


@contextlib.contextmanager
def told(root: Path) -> Iterator[None]:
    """Turn errors of the file system into one sentence that says what to do.

    Raises:
        StoreError: for a full disk, a missing permission, a read-only or failing file system.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(describe_os_error(error, root)) from None


@contextlib.contextmanager
def possible(what: str, remedy: str) -> Iterator[None]:
    """Tell a place that the user named badly from a disk that fails.

    Raises:
        InputError: nothing can be made there; any other error of the file system stays as it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FORBIDDEN | MISPLACED:
            raise
        why = "no permission to write" if error.errno in FORBIDDEN else error.strerror
        raise InputError(f"{what} ({why}); {remedy}") from None


def describe_os_error(error: OSError, root: Path) -> str:
    """Return one sentence for an error of the file system."""
    place = error.filename or root
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(_existing(root)).free
        return (
            f"{place}: the disk is full ({free / 1e6:,.0f} MB free); free some space or move the"
            " store with --store DIR, then run the same command again: finished stages are kept"
        )
    if error.errno in FORBIDDEN:
        return f"{place}: no permission to write; choose another store with --store DIR"
    hint = HINTS.get(error.errno or 0)
    return f"{place}: {error.strerror or error}" + (f"; {hint}" if hint else "")


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
