"""Which units of a plan must run, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldmbench.schema.stage import Manifest, Plan, Stage
from ldmbench.store.disk import Store
from ldmbench.store.machine import code_digest, machine
from ldmbench.store.units import Unit, inputs_digest, inputs_of, units_of

TARGETS = {"autoencoder", "denoiser", "samples", "scores", "coding", "speed"}
"""Kinds that a run wants for themselves; the others run when something above them must."""


@dataclass
class Survey:
    """What is in the store and what must run, for one look at a plan.

    Attributes:
        missing: units to run, in plan order, with the reason.
        used: units that are there and serve.
        stale: labels of artefacts that an older code made and that are used nonetheless.
        machines: whose speed counts; any when empty.
    """

    missing: dict[Unit, str] = field(default_factory=dict)
    used: int = 0
    stale: dict[str, str] = field(default_factory=dict)
    machines: tuple[Mapping[str, Any], ...] = ()
    _seen: dict[Unit, Manifest | None] = field(default_factory=dict)

    def look(self, unit: Unit, store: Store, *, verify: bool) -> Manifest | None:
        """Return a unit's manifest, read once in a survey."""
        if unit not in self._seen:
            self._seen[unit] = store.lookup(unit.address, verify=verify)
        return self._seen[unit]


def survey(
    plan: Plan,
    store: Store,
    *,
    fresh: Callable[[Unit], bool] = lambda _: False,
    verify: bool = False,
    machines: Sequence[Mapping[str, Any]] | None = None,
) -> Survey:
    """Look at the store and say which units of a plan must run.

    Args:
        plan: what is asked.
        store: where artefacts lie.
        fresh: tells the units that must run although they are there.
        verify: compare every digest.
        machines: whose speed counts: this one when unset, any when empty.
    """
    stages = {stage.key: stage for stage in plan.stages}
    found = Survey(machines=(machine(),) if machines is None else tuple(machines))
    required: dict[str, dict[Unit, None]] = {}
    reasons: dict[Unit, str] = {}
    for stage in reversed(plan.stages):
        wanted = units_of(stage)
        if stage.kind not in TARGETS:
            wanted = _asked(wanted, required.get(stage.key, {}), store, found, fresh, verify=verify)
        for unit in wanted:
            reason = _why_missing(unit, store, stages, found, fresh=fresh, verify=verify)
            if reason:
                reasons[unit] = reason
                for _, item, units in inputs_of(unit, stages):
                    required.setdefault(item.key, {}).update(dict.fromkeys(units))
    order = {stage.key: position for position, stage in enumerate(plan.stages)}
    ordered = sorted(reasons, key=lambda u: (order[u.stage.key], u.shard or (0, 0)))
    found.missing = {unit: reasons[unit] for unit in ordered}
    return found


def _asked(
    units: Sequence[Unit],
    required: Mapping[Unit, None],
    store: Store,
    found: Survey,
    fresh: Callable[[Unit], bool],
    *,
    verify: bool,
) -> list[Unit]:
    """Return the units that others need or --fresh names; note the rest that an old code made."""
    wanted = dict.fromkeys((*required, *(unit for unit in units if fresh(unit))))
    for unit in units:
        manifest = None if unit in wanted else found.look(unit, store, verify=verify)
        if manifest:
            _outdated(unit, manifest, found)
    return list(wanted)


def _why_missing(
    unit: Unit,
    store: Store,
    stages: Mapping[str, Stage],
    found: Survey,
    *,
    fresh: Callable[[Unit], bool],
    verify: bool,
) -> str | None:
    if fresh(unit):
        return "asked for with --fresh"
    manifest = found.look(unit, store, verify=verify)
    if manifest is None:
        return "not in the store"
    found.used += 1
    for role, item, units in inputs_of(unit, stages):
        now = inputs_digest(units, lambda part: found.look(part, store, verify=False))
        if now is not None and manifest.input_digests.get(role) not in (None, now):
            return f"its input {role} ({item.kind} {item.key[:8]}) was made anew and differs"
    return _outdated(unit, manifest, found)


def _outdated(unit: Unit, manifest: Manifest, found: Survey) -> str | None:
    """Say why a speed must be measured anew; note other artefacts that an older code made."""
    old_code = manifest.code != code_digest(unit.stage.kind)
    if unit.stage.kind == "speed":
        if found.machines and not any(_agrees(here, manifest) for here in found.machines):
            return "the machine is not the one it was measured on"
        return "the code changed since it was measured" if old_code else None
    if old_code:
        found.stale.setdefault(unit.stage.key, unit.stage.label)
    return None


def _agrees(here: Mapping[str, Any], manifest: Manifest) -> bool:
    return all(manifest.machine.get(name) == value for name, value in here.items())
