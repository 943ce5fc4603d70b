"""Several shards of one stage in one task: what is made, committed and left to other runs."""

import threading

import numpy as np
import pytest
import tiny
from shadow import ShadowDevice

from ldmbench.data.shapes import render
from ldmbench.data.shards import write_batch
from ldmbench.errors import StageError
from ldmbench.execute.ready import Ready
from ldmbench.execute.step import Outcome, run_units
from ldmbench.registry import resolve
from ldmbench.schema.stage import Input, Stage
from ldmbench.stages.common import let_go
from ldmbench.store.disk import Store
from ldmbench.store.units import Unit, units_of

COUNT = 200
IMAGES = Stage(kind="dataset", key="i" * 24, params=tiny.PARAMS["dataset"], shard=128, count=COUNT)
FEATURES = Stage(
    kind="features",
    key="f" * 24,
    params=tiny.PARAMS["features"],
    inputs={"images": Input(kind="dataset", key=IMAGES.key)},
    shard=64,
    version=1,
    count=COUNT,
)
STAGES = {stage.key: stage for stage in (IMAGES, FEATURES)}


@pytest.fixture(autouse=True)
def _nothing_stays():
    """Let go of the networks that tasks keep for the next one."""
    yield
    let_go()


def store_at(folder):
    """Return a store that holds the images."""
    store = Store(folder)
    store.open()
    for unit in units_of(IMAGES):
        run_units([unit], store, STAGES, execute=drawn, device="cpu")
    return store


def drawn(task):
    start, stop = task.shard
    write_batch(task.output, render(np.arange(start, min(stop, COUNT)), resolution=32))
    return Outcome(0.0)


def extracted(task):
    resolve("ldmbench.stages.features:run")(task, lambda *_: None)
    return Outcome(8.0)


def digests(store):
    return [store.lookup(unit.address).digest for unit in units_of(FEATURES)]


def test_shards_made_together_are_those_made_alone(tmp_path):
    units = units_of(FEATURES)
    assert len(units) == 4  # the last of 8 images
    for device in ("cpu", "cuda:0"):
        alone, together = (store_at(tmp_path / device[:3] / name) for name in ("one", "all"))
        with ShadowDevice():
            for unit in units:
                run_units([unit], alone, STAGES, execute=extracted, device=device)
            done = run_units(units, together, STAGES, execute=extracted, device=device)
        assert [found.unit for found in done] == units
        assert [found.seconds for found in done] == [2.0] * 4  # a quarter of the task each
        assert digests(together) == digests(alone)


def test_shards_at_hand_or_made_elsewhere_are_left_out(tmp_path):
    store, units = store_at(tmp_path), units_of(FEATURES)
    run_units([units[1]], store, STAGES, execute=extracted, device="cpu")
    tasks = []

    def counted(task):
        tasks.append([shard.shard[0] for shard in task.shards])
        return extracted(task)

    with store.lock(units[2].address):  # another run makes it
        done = run_units(units, store, STAGES, execute=counted, device="cpu")
    assert tasks == [[0, 192]]
    assert [(d.unit.shard[0], d.seconds) for d in done] == [(0, 4.0), (64, None), (192, 4.0)]


def test_a_failed_task_commits_none_of_its_shards(tmp_path):
    store, units = store_at(tmp_path), units_of(FEATURES)

    def failing(task):
        extracted(task)
        raise StageError("the device is gone")

    with pytest.raises(StageError, match="gone"):
        run_units(units, store, STAGES, execute=failing, device="cpu")
    assert not any(store.lookup(unit.address) for unit in units)
    assert not any((store.root / "tmp").iterdir())


def test_what_is_ready_of_one_stage_is_handed_out_together():
    other = Stage(**(FEATURES.model_dump() | {"key": "g" * 24}))
    units = [*units_of(FEATURES), *units_of(other)]
    alone = {s.key: Stage(**(s.model_dump() | {"inputs": {}})) for s in (FEATURES, other)}
    units = [Unit(alone[unit.stage.key], unit.shard) for unit in units]
    hand = Ready(units, alone, threading.Event())
    first = hand.take()
    assert hand.take_beside(first, 0) == []
    assert hand.take_beside(first, 2) == units[1:3]
    assert hand.take_beside(first, 7) == units[3:4]
    assert hand.take() == units[4]
    for unit in units[:5]:
        hand.give(unit, ok=True)
    assert hand.take_beside(units[4], 7) == units[5:]
