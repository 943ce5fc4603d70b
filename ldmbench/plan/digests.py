"""Digests of what a plan uses on disk: each is taken once, however many cells use it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ldmbench.canonical import digest
from ldmbench.plugin_files import Noun
from ldmbench.sources.digests import file_digests, plugin_digest
from ldmbench.sources.images.source import Source
from ldmbench.sources.models.text_encoders import TextEncoder

__all__ = ["Digests"]


@dataclass(frozen=True)
class Digests:
    """The digests of one plan.

    Attributes:
        cache: where digests of files are remembered; None remembers nothing.
        known: those that were taken.
    """

    cache: Path | None
    known: dict[Hashable, str] = field(default_factory=dict)

    def images(self, source: Source) -> str:
        """Return the digest of images on disk."""
        if source not in self.known:
            self.known[source] = source.digest(self.cache)
        return self.known[source]

    def plugin(self, name: str, folder: Path, noun: Noun, files: Sequence[str] = ()) -> str:
        """Return the digest of code of the user's own; arguments as `plugin_digest`."""
        key = name, folder, noun, tuple(files)
        if key not in self.known:
            self.known[key] = plugin_digest(name, folder, self.cache, noun=noun, files=files)
        return self.known[key]

    def encoder(self, found: TextEncoder) -> str:
        """Return the digest of a frozen text encoder, as `found.digest` is."""
        if found not in self.known:
            files = found.files
            read = file_digests(files.values(), self.cache)
            self.known[found] = digest({name: read[file] for name, file in files.items()})
        return self.known[found]
