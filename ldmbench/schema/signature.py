"""Signature: how a number was made, as fields; written on one line beside the number."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Signature:
    """How a number was made; numbers with different signatures are never compared.

    Attributes:
        metric: name of the score.
        version: of what computed it, such as v1.
        parts: name and value of every further field, in the order in which they are written.
    """

    metric: str
    version: str = ""
    parts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the signature that is written as `text`; a part without a colon has no value.

        >>> Signature.parse("fid|v1|feat:shapes-net@ab|n:5000").parts
        (('feat', 'shapes-net@ab'), ('n', '5000'))
        """
        metric, _, rest = text.partition("|")
        version, bar, rest = rest.partition("|")
        named = (part.partition(":") for part in rest.split("|")) if bar else ()
        return cls(metric, version, tuple((name, value) for name, _, value in named))

    def __str__(self) -> str:
        parts = (f"{name}:{value}" if value else name for name, value in self.parts)
        return "|".join([self.metric, *([self.version] if self.version else ()), *parts])

    @property
    def fields(self) -> dict[str, str]:
        """Every field by name: metric, version where there is one, feat, ref, n, ..."""
        version = {"version": self.version} if self.version else {}
        return {"metric": self.metric, **version, **dict(self.parts)}

    def replaced(self, name: str, value: str) -> Signature:
        """Return the same signature with another value of one field that it has."""
        parts = tuple((n, value if n == name else v) for n, v in self.parts)
        return Signature(self.metric, self.version, parts)

    def without(self, names: Collection[str]) -> Signature:
        """Return the same signature without some fields."""
        parts = tuple((name, value) for name, value in self.parts if name not in names)
        return Signature(self.metric, self.version, parts)

    def differences(self, other: Signature) -> dict[str, tuple[str, str]]:
        """Return field -> (here, in `other`), "none" where it is absent, for all that differ."""
        here, there = self.fields, other.fields
        return {
            name: (here.get(name, "none"), there.get(name, "none"))
            for name in dict.fromkeys([*here, *there])
            if here.get(name) != there.get(name)
        }
