"""Why stages will run: the fields that differ from the nearest in the store, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ldmbench.schema.stage import Manifest, Stage

__all__ = ["NOTHING", "PART", "Explainer", "Group"]

NOTHING = "the store has no stage of this kind"
PART = "the store has fewer shards than the suite needs"
SHOWN, TRIED = 3, 16
_HEX = set("0123456789abcdef")


@dataclass(frozen=True)
class Group:
    """Stages that run for one reason.

    Attributes:
        cause: the reason, such as "budget.steps: 150 -> 300".
        first: keys of the stages that it is about.
        then: keys of the stages that follow from these.
    """

    cause: str
    first: tuple[str, ...]
    then: tuple[str, ...]


@dataclass
class Explainer:
    """Compares the stages of a plan with what is stored.

    Attributes:
        stages: of the plan, by key, in an order in which they can run.
        stored: kind -> the manifests of that kind.
    """

    stages: Mapping[str, Stage]
    stored: Callable[[str], Sequence[Manifest]]
    _found: dict[str, tuple[tuple[str, ...], bool]] = field(default_factory=dict)

    def groups(self, reasons: Mapping[str, str | None]) -> list[Group]:
        """Return the stages that will run by what makes them run, causes in the order of the plan.

        Args:
            reasons: key of a stage -> why it runs; None: it is not in the store.
        """
        grouped: dict[str, tuple[list[str], list[str]]] = {}
        for key, reason in reasons.items():
            causes, own = ((reason,), True) if reason else self.causes(self.stages[key])
            first, then = grouped.setdefault(_joined(causes), ([], []))
            (first if own else then).append(key)
        return [Group(cause, tuple(a), tuple(b)) for cause, (a, b) in grouped.items()]

    def causes(self, stage: Stage) -> tuple[tuple[str, ...], bool]:
        """Return why a stage is not in the store, and whether the cause is of its own fields."""
        if stage.key not in self._found:
            tried = [_Difference(self, stage, m) for m in self._nearest(stage)]
            best = min(tried, key=lambda one: len(one.causes), default=None)
            if best is None:
                self._found[stage.key] = (NOTHING,), True
            else:
                self._found[stage.key] = best.causes or (PART,), bool(best.own) or not best.causes
        return self._found[stage.key]

    def _nearest(self, stage: Stage) -> list[Manifest]:
        """Return the stored artefacts with the most in common, the latest first."""
        counted = [
            (len(_own(m, stage)) + sum(1 for _ in _moved(m, stage)), m)
            for m in self.stored(stage.kind)
        ]
        least = min((count for count, _ in counted), default=0)
        same = [m for count, m in counted if count == least]
        return sorted(same, key=lambda m: m.started, reverse=True)[:TRIED]


@dataclass(frozen=True)
class _Difference:
    """How a stage differs from one stored artefact."""

    explainer: Explainer
    stage: Stage
    manifest: Manifest

    @cached_property
    def own(self) -> list[str]:
        """What differs in the stage's own fields."""
        return _own(self.manifest, self.stage)

    @cached_property
    def causes(self) -> tuple[str, ...]:
        """All that differs, in the stage or in what it is made of, each once."""
        found = list(self.own)
        for role in _moved(self.manifest, self.stage):
            found += self._above(role)
        return tuple(dict.fromkeys(found))

    def _above(self, role: str) -> Sequence[str]:
        """Return what differs in an input: against the one that was used, else the nearest."""
        here, there = self.stage.inputs.get(role), self.manifest.inputs.get(role)
        if here is None or there is None:
            return [f"inputs.{role}: {'absent -> there' if here else 'there -> absent'}"]
        if here.key == there.key:
            return [f"{role}: {there.count} -> {here.count}"]
        made = self.explainer.stages[here.key]
        old = next((m for m in self.explainer.stored(made.kind) if m.key == there.key), None)
        if old is not None:
            return _Difference(self.explainer, made, old).causes
        causes, _ = self.explainer.causes(made)
        unknown = set(causes) <= {NOTHING, PART}
        return [f"inputs.{role}: {there.key[:8]} -> {here.key[:8]}"] if unknown else causes


def _joined(causes: Sequence[str]) -> str:
    more = f" and {len(causes) - SHOWN} more" if len(causes) > SHOWN else ""
    return "; ".join(causes[:SHOWN]) + more


def _own(manifest: Manifest, stage: Stage) -> list[str]:
    """Return 'name: there -> here' for every field that differs, inputs left out."""
    there = {"version": manifest.version, **_flat(manifest.params)}
    here = {"version": stage.version, **_flat(stage.params.keyed())}
    return [
        f"{name}: {_text(there.get(name, 'absent'))} -> {_text(here.get(name, 'absent'))}"
        for name in dict.fromkeys([*here, *there])
        if there.get(name) != here.get(name)
    ]


def _moved(manifest: Manifest, stage: Stage) -> Iterator[str]:
    """Yield the roles of inputs that are not the same, or not as many of them."""
    for role in dict.fromkeys([*stage.inputs, *manifest.inputs]):
        if stage.inputs.get(role) != manifest.inputs.get(role):
            yield role


def _flat(value: Mapping[str, object], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, part in value.items():
        if isinstance(part, Mapping):
            found |= _flat(part, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = tuple(part) if isinstance(part, list) else part
    return found


def _text(value: object) -> str:
    """Return a value for people; of a digest its beginning."""
    text = str(value)
    return text[:8] if len(text) >= 32 and set(text) <= _HEX else text
