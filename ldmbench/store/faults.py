"""Faults of a file system, one sentence each: full disks, permissions, misplaced files."""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from ldmbench.errors import InputError, StoreError

LOG = logging.getLogger("ldmbench")
NEARLY_FULL = 2**26
"""Bytes free on a disk that did not take what was to be written, because it is full."""
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


def make_room(path: Path) -> None:
    """Move a folder away that stands where a file is to be written."""
    if path.is_dir():
        target = path.with_name(f"{path.name}-{uuid.uuid4().hex[:6]}.aside")
        path.rename(target)
        LOG.warning("%s: is a folder where a file belongs; it is now %s", path, target)


@contextlib.contextmanager
def explaining_os_errors(root: Path) -> Iterator[None]:
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
        why = "no permission to write" if error.errno in FORBIDDEN else error.strerror or error
        raise InputError(f"{what} ({why}); {remedy}") from None


def errno_of(error: BaseException, root: Path) -> int | None:
    """Return the number of an error of the file system, also where a library lost it.

    Args:
        error: any error; what NumPy, Pillow and safetensors say of a full disk has no number.
        root: where it was written.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    named = re.search(r"\bos error (\d+)", text)
    if named:
        return int(named[1])
    if "No space left on device" in text:
        return errno.ENOSPC
    if re.search(r"\d+ requested and \d+ written|encoder error -2\b", text):
        full = shutil.disk_usage(_existing(root)).free < NEARLY_FULL
        return errno.ENOSPC if full else errno.EDQUOT
    return None


def describe_os_error(error: BaseException, root: Path) -> str:
    """Return one sentence for an error of the file system."""
    number, strerror = errno_of(error, root), getattr(error, "strerror", None)
    place = getattr(error, "filename", None) or root
    if number == errno.EDQUOT:
        return (
            f"{place}: no more can be written there (a quota, or a limit on file sizes); move the"
            " store with --store DIR, then run the same command again: finished stages are kept"
        )
    if number == errno.ENOSPC:
        free = shutil.disk_usage(_existing(root)).free
        return (
            f"{place}: the disk is full ({free / 1e6:,.0f} MB free); free some space or move the"
            " store with --store DIR, then run the same command again: finished stages are kept"
        )
    if number in FORBIDDEN:
        return f"{place}: no permission to write; choose another store with --store DIR"
    hint = HINTS.get(number or 0)
    return f"{place}: {strerror or error}" + (f"; {hint}" if hint else "")


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
