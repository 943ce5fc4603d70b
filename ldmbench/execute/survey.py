"""Which units of a plan must run, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldmbench.errors import InputError
from ldmbench.execute.devices import devices, speed_machines
from ldmbench.registry import pick
from ldmbench.schema.stage import Manifest, Plan, Stage
from ldmbench.store.disk import Store
from ldmbench.store.machine import code_digest
from ldmbench.store.units import Unit, inputs_digest, inputs_of, units_of

TARGETS = {"autoencoder", "denoiser", "samples", "scores", "coding", "speed"}
"""Kinds that a run wants for themselves; the others run when something above them must."""


def is_named(stage: Stage, fresh: Iterable[str]) -> bool:
    """Tell whether --fresh names a stage: by its kind, or by kind/ and the beginning of its key."""
    name = f"{stage.kind}/{stage.key}"
    return any(f == stage.kind or ("/" in f and name.startswith(f)) for f in fresh)


def check_fresh(plan: Plan, fresh: Iterable[str]) -> None:
    """Refuse what --fresh names and the plan has not.

    Raises:
        InputError: naming it, with the nearest kind.
    """
    kinds = dict.fromkeys(str(stage.kind) for stage in plan.stages)
    for name in fresh:
        if not any(is_named(stage, [name]) for stage in plan.stages):
            pick(kinds, name.partition("/")[0], "stage of this plan for --fresh")
            raise InputError(f"--fresh {name}: no {name.partition('/')[0]} has such a key")


@dataclass
class Survey:
    """What is in the store and what must run, for one look at a plan.

    Attributes:
        missing: units to run, in plan order, with the reason.
        used: units that are there and serve.
        stale: labels of artefacts that an older code made and that are used nonetheless.
        machines: whose speed counts; any when empty.
        verify: every digest is compared, of whatever the plan names.
    """

    missing: dict[Unit, str] = field(default_factory=dict)
    used: int = 0
    stale: dict[str, str] = field(default_factory=dict)
    machines: tuple[Mapping[str, Any], ...] = ()
    verify: bool = False
    _seen: dict[Unit, Manifest | None] = field(default_factory=dict)

    def look(self, unit: Unit, store: Store) -> Manifest | None:
        """Return a unit's manifest, read once in a survey."""
        if unit not in self._seen:
            self._seen[unit] = store.lookup(unit.address, verify=self.verify)
        return self._seen[unit]


def survey(
    plan: Plan,
    store: Store,
    *,
    fresh: Callable[[Unit], bool] = lambda _: False,
    verify: bool = False,
    machines: Sequence[Mapping[str, object]] | None = None,
) -> Survey:
    """Look at the store and say which units of a plan must run.

    Args:
        plan: what is asked.
        store: where artefacts lie.
        fresh: tells the units that must run although they are there.
        verify: compare every digest, of stages too that nothing reads in this run.
        machines: whose speed counts: this one's devices when unset, any when empty.
    """
    stages = {stage.key: stage for stage in plan.stages}
    found = Survey(
        machines=tuple(speed_machines(devices()) if machines is None else machines), verify=verify
    )
    # Go from targets to inputs, so that a stage knows what needs it.
    required: dict[str, dict[Unit, None]] = {}
    reasons: dict[Unit, str] = {}
    for stage in reversed(plan.stages):
        wanted = units_of(stage)
        if stage.kind not in TARGETS:
            wanted = _asked(wanted, required.get(stage.key, {}), store, found, fresh)
        for unit in wanted:
            reason = _why_missing(unit, store, stages, found, fresh=fresh)
            if reason:
                reasons[unit] = reason
                for _, item, units in inputs_of(unit, stages):
                    required.setdefault(item.key, {}).update(dict.fromkeys(units))
    # List what must run in the order of the plan.
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
) -> list[Unit]:
    """Return the units that others need, --fresh names or damage took away.

    Of the rest, those that an old code made are noted.
    """
    wanted = dict.fromkeys((*required, *(unit for unit in units if fresh(unit))))
    for unit in units:
        manifest = None if unit in wanted else found.look(unit, store)
        if manifest:
            _outdated(unit, manifest, found)
        elif unit.address.name in store.lost:
            wanted[unit] = None
    return list(wanted)


def _why_missing(
    unit: Unit,
    store: Store,
    stages: Mapping[str, Stage],
    found: Survey,
    *,
    fresh: Callable[[Unit], bool],
) -> str | None:
    if fresh(unit):
        return "asked for with --fresh"
    manifest = found.look(unit, store)
    if manifest is None:
        return "not in the store"
    found.used += 1
    for role, item, units in inputs_of(unit, stages):
        now = inputs_digest(units, lambda part: found.look(part, store))
        if now is not None and manifest.input_digests.get(role) not in (None, now):
            return f"its input {role} ({item.kind} {item.key[:8]}) was computed again and differs"
    return _outdated(unit, manifest, found)


def _outdated(unit: Unit, manifest: Manifest, found: Survey) -> str | None:
    """Say why a speed must be measured again; note other artefacts that an older code made."""
    if unit.stage.kind == "speed":
        return speed_outdated(manifest, found.machines)
    if manifest.code != code_digest(unit.stage.kind):
        found.stale.setdefault(unit.stage.key, unit.stage.label)
    return None


def speed_outdated(manifest: Manifest, machines: Sequence[Mapping[str, object]]) -> str | None:
    """Say why a speed must be measured again, or nothing.

    Args:
        manifest: of the speed in the store.
        machines: whose speed counts; any when empty.
    """
    differing = [_differing(here, manifest) for here in machines]
    if differing and all(differing):
        _, names = min((len(names), names) for names in differing)
        return f"it was measured with another {', '.join(names)}"
    if manifest.code != code_digest("speed"):
        return "the code changed since it was measured"
    return None


def _differing(here: Mapping[str, object], manifest: Manifest) -> list[str]:
    """Return what differs between this machine and a manifest: device, driver, platform."""
    known = {**manifest.versions, **manifest.machine}
    return [name for name, value in here.items() if known.get(name) != value]
