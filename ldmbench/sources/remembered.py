"""What was found in files before: digests of contents and sizes of pictures, kept in one JSON."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ldmbench import canonical
from ldmbench.canonical import Stamp, stamp_of
from ldmbench.errors import InputError

__all__ = ["Found", "Remembered", "Size", "is_settled", "remembered_at"]

Size = tuple[int, int]
_SETTLED_NS = 2_000_000_000
_OPEN: dict[Path, Remembered] = {}


def is_settled(stamp: Stamp) -> bool:
    """Tell a file that has lain unchanged for two seconds; others could change again unseen."""
    return canonical.is_settled(stamp, _SETTLED_NS)


@dataclass
class Found:
    """What was found in a file.

    Attributes:
        stamp: of the file, before it was read.
        digests: name inside, '' for the file itself -> sha256.
        sizes: name inside, '' for the file itself -> width and height of a picture that was opened.
    """

    stamp: Stamp
    digests: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)


def remembered_at(cache: Path | None) -> Remembered:
    """Return what is remembered in a file; a process reads it once, until another one writes it.

    Args:
        cache: as in `Remembered`.
    """
    if cache is None:
        return Remembered(None)
    known = _OPEN.get(cache)
    if known is None or known.written != _stamp(cache):
        _OPEN.clear()  # of one store at a time
        _OPEN[cache] = known = Remembered(cache)
    known.drop_unsaved()
    return known


class Remembered:
    """Files that were read before, by path and stamp.

    Args:
        cache: a JSON file; made if it is missing, replaced if it is damaged; None remembers
            nothing.
    """

    def __init__(self, cache: Path | None) -> None:
        self.cache = cache
        self.written = _stamp(cache) if cache else None
        self._before = self._read()
        self._now: dict[str, Found] = {}
        self._changed = False

    def of(self, file: Path) -> Found:
        """Return what is known of a file as it lies there now; nothing of one that changed.

        Raises:
            InputError: it is not there, or is no regular file, which may have no end.
        """
        try:
            at = file.stat()
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror}); remove it") from None
        if not stat.S_ISREG(at.st_mode):
            raise InputError(f"{file}: a pipe or device, not a file; remove it")
        name, stamp = str(file.absolute()), stamp_of(at)
        known = self._now.get(name) or self._before.get(name)
        if known is None or known.stamp != stamp:
            known = Found(stamp)
        self._now[name] = known
        return known

    def drop_unsaved(self) -> None:
        """Forget what was found since the last `save`, of files that may be changing still."""
        self._now, self._changed = {}, False

    def learn(
        self,
        found: Found,
        *,
        digests: Mapping[str, str] | None = None,
        sizes: Mapping[str, Size] | None = None,
    ) -> None:
        """Add to what is known of a file."""
        found.digests |= digests or {}
        found.sizes |= sizes or {}
        self._changed = True

    def save(self) -> None:
        """Keep what was found in files that are settled and have not changed since."""
        now, changed = self._now, self._changed
        self.drop_unsaved()
        if self.cache is None or not changed:
            return
        fresh = {
            name: found
            for name, found in now.items()
            if is_settled(found.stamp) and _stamp(Path(name)) == found.stamp
        }
        if not fresh:
            return
        rows = {**self._before, **fresh}
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        beside = self.cache.with_name(f"{self.cache.name}.{os.getpid()}")
        beside.write_text(
            json.dumps({n: [f.stamp, f.digests, f.sizes] for n, f in rows.items()}), "utf-8"
        )
        beside.replace(self.cache)
        self._before, self.written = rows, _stamp(self.cache)

    def _read(self) -> dict[str, Found]:
        try:
            rows = json.loads(self.cache.read_text("utf-8")) if self.cache else {}
            return {
                name: Found(
                    tuple(map(int, stamp)),
                    {str(k): str(v) for k, v in digests.items()},
                    {str(k): (int(w), int(h)) for k, (w, h) in sizes.items()},
                )
                for name, (stamp, digests, sizes) in rows.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _stamp(file: Path) -> Stamp | None:
    try:
        return stamp_of(file.stat())
    except OSError:
        return None
