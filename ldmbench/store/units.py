"""Units: a stage, or one shard of it, and where its artefact lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ldmbench.canonical import digest
from ldmbench.schema.stage import Input, Manifest, Stage
from ldmbench.store.disk import Address, Shard


@dataclass(frozen=True, eq=False)
class Unit:
    """A stage, or one shard of a sharded stage; equal to any other with its address."""

    stage: Stage
    shard: Shard | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unit) and self.address == other.address

    def __hash__(self) -> int:
        return hash((self.stage.key, self.shard))

    @property
    def address(self) -> Address:
        """Where its artefact lies."""
        return Address(self.stage.kind, self.stage.key, self.shard)

    @property
    def label(self) -> str:
        """Short text for people."""
        end = f" {self.shard[0]}-{self.shard[1]}" if self.shard else ""
        return f"{self.stage.label}{end}"


def units_of(stage: Stage, *, start: int = 0, stop: int | None = None) -> list[Unit]:
    """Return the units of a stage that cover items start..stop (all when unset)."""
    if stage.shard is None:
        return [Unit(stage)]
    size, count = stage.shard, stage.count or 0
    last = min(stop if stop is not None else count, count)
    return [Unit(stage, (a, a + size)) for a in range(start // size * size, last, size)]


def inputs_of(unit: Unit, stages: Mapping[str, Stage]) -> Iterator[tuple[str, Input, list[Unit]]]:
    """Yield (role, input, the units it consists of) for everything a unit reads."""
    for role, item in unit.stage.inputs.items():
        stage = stages[item.key]
        if stage.shard is None or item.count is not None or unit.shard is None:
            yield role, item, units_of(stage, stop=item.count)
        else:
            yield role, item, units_of(stage, start=unit.shard[0], stop=unit.shard[1])


def inputs_digest(units: Sequence[Unit], look: Callable[[Unit], Manifest | None]) -> str | None:
    """Return the digest of one input, or None when `look` does not find a part of it."""
    parts = []
    for unit in units:
        manifest = look(unit)
        if manifest is None:
            return None
        parts.append(manifest.digest)
    return parts[0] if len(parts) == 1 else digest(parts)
