"""The gate itself: the records of a run against a baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from ldmbench.errors import UnlikeError
from ldmbench.gating.baseline import rounded, suite_of
from ldmbench.gating.cases import ALL_CELLS, Pending, counted, over_all_cells, ratio, scaled
from ldmbench.gating.interval import BetweenRuns, Change, change, pooled
from ldmbench.gating.match import (
    OtherMachine,
    cells_of,
    describe_other_machines,
    devices_of,
    group_of,
    like_measures,
    like_scores,
    same_images,
)
from ldmbench.gating.rules import ANYWHERE, rules_with
from ldmbench.gating.verdict import Item, Outcome, judge_change
from ldmbench.records.compare import Replicas
from ldmbench.schema.baseline import AcceptedCell, Baseline, Rule
from ldmbench.schema.record import Measure, Record, Score

__all__ = ["judge"]

LARGEST_LOG = 50.0
"""A logarithm beyond which an interval is as good as unbounded."""


def judge(
    records: Sequence[Record],
    baseline: Baseline,
    replicates: Replicas,
    *,
    title: str = "",
    note_machines: bool = False,
    noise_passes: bool = False,
) -> Outcome:
    """Return the verdict on every judged measure of every accepted cell.

    Args:
        records: of one run.
        baseline: what was accepted.
        replicates: where the replicates of the run's scores are found.
        title: what the baseline is called in the outcome.
        note_machines: numbers that were accepted on other machine classes alone are noted and not
            judged, instead of being incomparable.
        noise_passes: see Outcome.

    Raises:
        UnlikeError: if the baseline is of another suite.
    """
    for record in records[:1]:
        if suite_of(record.run) != baseline.suite:
            raise UnlikeError(
                f"the baseline is of suite '{baseline.suite}' and the run of"
                f" '{suite_of(record.run)}'; give a baseline of the same suite"
            )
    gate = _Gate(records, baseline, replicates, note_machines=note_machines)
    return replace(gate.outcome(title), noise_passes=noise_passes)


class _Gate:
    def __init__(
        self,
        records: Sequence[Record],
        baseline: Baseline,
        replicates: Replicas,
        *,
        note_machines: bool,
    ) -> None:
        self.records, self.baseline, self.replicates = records, baseline, replicates
        self.note_machines = note_machines
        self.rules = rules_with(baseline.rules)

    @cached_property
    def accepted(self) -> dict[str, list[AcceptedCell]]:
        """Cell id -> what was accepted for it."""
        ids = dict.fromkeys(cell.id for run in self.baseline.runs for cell in run.cells)
        return {id: cells_of(self.baseline, id) for id in ids}

    def outcome(self, title: str) -> Outcome:
        found: list[Item | Pending | OtherMachine] = []
        by_id = {record.cell.id: record for record in self.records}
        for id, cells in self.accepted.items():
            found += self._cell(id, by_id.get(id), cells)
        found += over_all_cells(
            [part for part in found if isinstance(part, Pending)], self.baseline
        )
        cases = [part for part in found if isinstance(part, Pending)]
        foreign = [part for part in found if isinstance(part, OtherMachine)]
        spreads, means = _spreads(cases), sum(case.item.cell == ALL_CELLS for case in cases)
        items = [
            _judged(part, spreads[part.key, part.group], _share(part, len(cases), means))
            if isinstance(part, Pending)
            else part
            for part in found
            if not isinstance(part, OtherMachine)
        ]
        # The mean over all cells may show what no cell does; where it shows nothing, the cells say.
        items = [i for i in items if (i.cell, i.verdict) != (ALL_CELLS, "inconclusive")]
        return Outcome(
            run=self.records[0].run if self.records else "",
            baseline=title,
            items=tuple(items),
            failed={
                r.cell.id: r.reason or "no reason given"
                for r in self.records
                if r.status == "failed"
            },
            notes=(*self._notes(by_id), *describe_other_machines(foreign)),
        )

    def _notes(self, by_id: Mapping[str, Record]) -> Iterator[str]:
        new = [id for id in by_id if id not in self.accepted]
        if new:
            more = f" and {len(new) - 3} more" if len(new) > 3 else ""
            yield f"not in the baseline, so not judged: {', '.join(new[:3])}{more}"
        if not self.records:
            yield "the run has no records: nothing was measured"
        elif not any(id in self.accepted for id in by_id):
            yield "the run and the baseline have no cell in common: nothing was judged"
        elif not any(rule.by != "recorded_only" for rule in self.rules.values()):
            yield "every rule is 'recorded_only': nothing was judged"

    def _cell(
        self, id: str, record: Record | None, cells: Sequence[AcceptedCell]
    ) -> Iterator[Item | Pending | OtherMachine]:
        if record is None:
            yield Item(id, "cell", "", "inconclusive", "accepted, but not in this run")
            return
        if record.status == "failed":
            return
        if record.stale:
            again = " ".join(f"--fresh {kind}" for kind in record.stale)
            why = f"stale: an older code made it; `ldmbench run SUITE {again}`"
            yield Item(id, "cell", "", "incomparable", why)
            return
        same = any(same_images(record, cell, self.replicates) for cell in cells)
        for name, protocol in _score_names(cells):
            rule = self.rules.get(name, Rule())
            if rule.by != "recorded_only":
                yield self._score(record, cells, name, protocol, rule, same=same)
        for name in _measure_names(cells):
            rule = self.rules.get(name, Rule())
            if rule.by != "recorded_only":
                yield self._measure(record, cells, name, rule)

    def _score(
        self,
        record: Record,
        cells: Sequence[AcceptedCell],
        name: str,
        protocol: str,
        rule: Rule,
        *,
        same: bool,
    ) -> Item | Pending:
        blank = Item(record.cell.id, name, protocol, "inconclusive", "", relative=rule.relative)
        new = next((s for s in record.scores if (s.name, s.protocol) == (name, protocol)), None)
        if new is None or new.value is None:
            return replace(blank, reason=_missing(new))
        pairs, unlike = like_scores(new, cells)
        if unlike:
            return replace(blank, verdict="incomparable", reason=unlike, now=new.value)
        if same:
            return replace(
                blank, verdict="pass", reason="the very same images", before=new.value,
                now=new.value, change=0.0, low=0.0, high=0.0, method="equal to an accepted run",
            )  # fmt: skip
        values = [p.score.score.value for p in pairs if p.score and p.score.score.value is not None]
        mean = sum(values) / len(values)
        if rule.by == "exact":
            return counted(replace(blank, before=values[-1], now=new.value), rule)
        scale = abs(mean) if rule.relative else 1.0
        if scale == 0:
            why = "the accepted value is 0: give it an absolute tolerance in the baseline's rules"
            return replace(blank, reason=why, before=mean, now=new.value)
        return Pending(
            item=replace(blank, before=mean, now=new.value),
            rule=rule,
            new=scaled(new, self._replicates(new), scale),
            accepted=tuple(
                scaled(p.score.score, p.score.replicates, scale) for p in pairs if p.score
            ),
            group=group_of(pairs[0].cell),
            key=(name, protocol),
        )

    def _replicates(self, score: Score) -> tuple[float, ...]:
        found = self.replicates(score)
        return () if found is None else rounded(found.tolist())

    def _measure(
        self, record: Record, cells: Sequence[AcceptedCell], name: str, rule: Rule
    ) -> Item | Pending | OtherMachine:
        blank = Item(record.cell.id, name, "", "inconclusive", "", relative=rule.relative)
        new = next((m for m in record.measures if m.name == name), None)
        if new is None or new.value is None:
            return replace(blank, reason=_missing(new))
        on_device = name not in ANYWHERE
        pairs, unlike = like_measures(new, cells, on_device=on_device)
        there = devices_of(cells, name)
        if self.note_machines and on_device and new.device not in there:
            return OtherMachine(name, new.device, there)
        if unlike:
            return replace(blank, verdict="incomparable", reason=unlike, now=new.value)
        values = [p.measure.value for p in pairs if p.measure and p.measure.value is not None]
        item = replace(blank, before=sum(values) / len(values), now=new.value)
        if rule.by == "exact":
            return counted(replace(item, before=values[-1]), rule)
        equal = any(_as_measured(p.measure) == _as_measured(new) for p in pairs)
        if rule.by == "ratio":
            found = ratio(pairs, new, item, rule)
            return replace(found, equal=equal) if isinstance(found, Pending) else found
        if equal:
            return _equal(replace(item, before=new.value))
        scale = abs(item.before or 0.0) if rule.relative else 1.0
        if scale == 0:
            return replace(item, reason="the accepted value is 0: nothing to be relative to")
        return Pending(
            item=item,
            rule=rule,
            new=scaled(new, (), scale),
            accepted=tuple(scaled(p.measure, (), scale) for p in pairs if p.measure),
            group=group_of(pairs[0].cell),
            key=(name, ""),
        )


def _score_names(cells: Sequence[AcceptedCell]) -> list[tuple[str, str]]:
    """Return name and protocol of every score accepted with a value, in order."""
    scores = [item.score for cell in cells for item in cell.scores]
    return list(dict.fromkeys((s.name, s.protocol) for s in scores if s.value is not None))


def _measure_names(cells: Sequence[AcceptedCell]) -> list[str]:
    """Return the name of every measure accepted with a value, in order."""
    measures = [item for cell in cells for item in cell.measures]
    return list(dict.fromkeys(m.name for m in measures if m.value is not None))


def _equal(item: Item) -> Item:
    return replace(
        item, verdict="pass", reason="the very same number, to the last digit",
        change=0.0, low=0.0, high=0.0, method="equal to an accepted run",
    )  # fmt: skip


def _as_measured(found: Measure | None) -> tuple[object, ...]:
    return (found.value, found.low, found.high, found.n, found.ratios) if found else ()


def _missing(found: Score | Measure | None) -> str:
    return f"not measured: {(found.reason if found else None) or 'it is not in this run'}"


def _spreads(cases: Sequence[Pending]) -> dict[tuple[tuple[str, str], str], BetweenRuns]:
    """Return the spread between accepted runs of each measure in each group.

    It is pooled over all cells of the measure, unless the group's own cells vary more: one model's
    trainings may differ by a third where another's differ by a tenth. What disturbs times is the
    machine, which is the same for all.
    """
    found = {}
    for key in {case.key for case in cases}:
        alike = [case for case in cases if case.key == key]
        over_all = pooled([(case.group, case.accepted) for case in alike])
        for group in {case.group for case in alike}:
            own = pooled([(group, c.accepted) for c in alike if c.group == group and not c.logs])
            found[key, group] = max(over_all, own, key=lambda spread: spread.variance)
    return found


def _share(case: Pending, cases: int, means: int) -> float:
    """Return a case's share of the chance to err: half of it goes to the means over all cells."""
    if not 0 < means < cases:
        return 1 / cases
    return 0.5 / (means if case.item.cell == ALL_CELLS else cases - means)


def _judged(case: Pending, spread: BetweenRuns, share: float) -> Item:
    """Judge one case; all intervals hold together with the rule's confidence (Bonferroni)."""
    if case.equal:
        return _equal(replace(case.item, in_yardsticks=case.logs))
    rule = case.rule
    alpha = (1 - rule.confidence) * share
    found = change(
        case.new,
        case.accepted,
        spread=spread,
        noise=rule.noise,
        bias=case.bias,
        apart=case.logs,
        alpha=alpha,
    )
    tolerance, limit = (
        (math.log1p(rule.tolerance), math.log1p(rule.limit))
        if case.logs
        else (rule.tolerance, rule.limit)
    )
    verdict, reason = judge_change(found, rule, tolerance=tolerance, limit=limit)
    shown = found
    if case.logs:
        value, low, high = (
            math.expm1(min(end, LARGEST_LOG)) for end in (found.value, found.low, found.high)
        )
        shown = Change(value, low, high, found.method)
    return replace(
        case.item,
        verdict=verdict,
        reason=reason,
        change=shown.value,
        low=shown.low,
        high=shown.high,
        tolerance=rule.tolerance,
        limit=rule.limit,
        method=shown.method,
        in_yardsticks=case.logs,
    )
