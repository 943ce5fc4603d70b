"""Execution: order, devices, what a worker says of a failure, two runs on one store."""

import errno
import json
import subprocess
import threading
import time
from types import SimpleNamespace
from unittest.mock import MagicMock

import forked
import pytest
import tiny
from gpu_answers import gpu, say

import ldmbench
from ldmbench.errors import InputError, StageError
from ldmbench.execute import local
from ldmbench.execute.devices import devices
from ldmbench.execute.execution import run_plan
from ldmbench.execute.failures import describe_failure
from ldmbench.execute.ready import Ready
from ldmbench.execute.runner import Runner
from ldmbench.execute.step import Outcome, run_units
from ldmbench.execute.survey import check_fresh, is_named, speed_outdated
from ldmbench.records.runs import Runs
from ldmbench.records.signature import name_of
from ldmbench.schema.stage import Input, Plan, Stage
from ldmbench.schema.task import Task
from ldmbench.store import machine
from ldmbench.store.disk import Store
from ldmbench.store.units import Unit, inputs_of, units_of


def stage(key, *, kind="samples", params=None, shard=None, count=None, inputs=None):
    given = {"params": params or tiny.PARAMS[kind], "inputs": inputs or {}}
    return Stage(kind=kind, key=key, shard=shard, count=count, **given)


def test_units_of_a_sharded_stage():
    sharded = stage("a", shard=64, count=100)
    assert [u.shard for u in units_of(sharded)] == [(0, 64), (64, 128)]
    assert [u.shard for u in units_of(sharded, start=70, stop=90)] == [(64, 128)]
    assert [u.shard for u in units_of(stage("b"))] == [None]


def test_a_shard_reads_the_shards_it_covers_and_a_count_reads_from_the_start():
    images = stage("i", kind="dataset", shard=512, count=1100)
    aligned = stage("f", shard=64, count=1100, inputs={"images": Input(kind="dataset", key="i")})
    counted = stage("s", inputs={"images": Input(kind="dataset", key="i", count=600)})
    stages = {s.key: s for s in (images, aligned, counted)}
    unit = Unit(aligned, (512, 576))
    [(_, _, units)] = inputs_of(unit, stages)
    assert [u.shard for u in units] == [(512, 1024)]
    [(_, _, units)] = inputs_of(Unit(counted), stages)
    assert [u.shard for u in units] == [(0, 512), (512, 1024)]


def test_each_input_has_the_count_of_its_own_role(tmp_path):
    """Samples and reference of one source, 100 of it and 600: neither takes the other's count."""
    source = stage("f", kind="features", shard=512, count=600)
    counts = {"generated": 100, "reference": 600}
    held = {role: Input(kind="features", key="f", count=count) for role, count in counts.items()}
    scores = stage("s", kind="scores", inputs=held)
    store, stages, read = Store(tmp_path), {"f": source, "s": scores}, {}

    def execute(task):
        read.update({role: found.stop for role, found in task.inputs.items()})
        (task.output / "made.txt").write_text(task.key)
        return Outcome(0.0, {})

    for unit in (*units_of(source), Unit(scores)):
        run_units([unit], store, stages, execute=execute, device="cpu")
    assert read == counts


def make(unit, store, stages=None, **how):
    """Make a unit with a file of its key; return whether it ran."""

    def execute(task):
        (task.output / "made.txt").write_text(task.key)
        return Outcome(1.0, {"kind": "cpu", "device": "Some CPU"})

    return (
        run_units([unit], store, stages or {}, execute=execute, device="cpu", **how)[0].seconds
        == 1.0
    )


def test_a_speed_is_measured_anew_on_another_machine_and_a_score_is_not(tmp_path):
    store = Store(tmp_path)
    speed, scores = Unit(stage("v", kind="speed")), Unit(stage("s", kind="scores"))
    here = {**machine.machine(), "kind": "cpu"}
    for unit in (speed, scores):
        assert make(unit, store, machines=[here])
        assert not make(unit, store, machines=[here])
    for other in (
        {**here, "kind": "cuda"},
        {**here, "platform": "Linux-9"},
        {**here, "torch": "1"},
    ):
        assert make(speed, store, machines=[other])
        assert not make(scores, store, machines=[other])
    assert not make(speed, store, machines=[other, here])
    assert not make(speed, store)


def test_why_a_speed_is_measured_again_names_what_differs():
    here = {**machine.machine(), "kind": "cuda", "device": "H200", "driver": "580"}
    manifest = SimpleNamespace(versions={}, machine=here, code=machine.code_digest("speed"))
    assert speed_outdated(manifest, [here]) is None
    other = {**here, "driver": "590"}
    assert speed_outdated(manifest, [other]) == "it was measured with another driver"
    both = [{**other, "device": "A100"}, {**here, "device": "A100"}]
    assert speed_outdated(manifest, both) == "it was measured with another device"
    assert speed_outdated(manifest, [*both, here]) is None
    assert speed_outdated(manifest, []) is None


def test_a_speed_is_measured_once_a_run_whatever_the_worker_calls_its_device(tmp_path):
    """It was measured twelve times where nvidia-smi named the device otherwise than torch."""
    machines = [{**machine.machine(), "kind": "cuda", "device": "as nvidia-smi calls it"}]
    plan = Plan(
        suite="s", suite_digest="", cells=(), metrics=(), probes=(),
        stages=(stage("v", kind="speed"),),
    )  # fmt: skip
    log = []
    found = run_plan(
        plan, Store(tmp_path), runners=[Working(log)], listener=MagicMock(), machines=machines
    )
    assert found.executed == 1
    assert len(log) == 2


def test_fresh_names_a_kind_or_the_beginning_of_a_key(tmp_path):
    stages = (stage("ab12", kind="samples"), stage("cd34", kind="scores"))
    plan = Plan(suite="s", suite_digest="", cells=(), stages=stages, metrics=(), probes=())
    assert is_named(stages[0], ["samples"])
    assert is_named(stages[0], ["scores", "samples/ab"])
    assert not any(is_named(s, ["s", "samples/cd", "scores/ab"]) for s in stages)
    check_fresh(plan, ["samples", "scores/cd34"])
    with pytest.raises(InputError, match="did you mean 'samples'"):
        check_fresh(plan, ["sampels"])
    with pytest.raises(InputError, match="--fresh scores/ab: no scores has such a key"):
        check_fresh(plan, ["scores/ab"])


def test_the_name_of_a_reference_hangs_on_what_is_used_of_it_alone(tmp_path):
    """Another score that takes more of the same images changes nothing."""
    store, names = Store(tmp_path), []
    for count in (600, 1100):
        images = stage("i", kind="dataset", shard=512, count=count)
        held = {"images": Input(kind="dataset", key="i")}
        seen = stage("f", kind="features", shard=64, count=count, inputs=held)
        stages = {"i": images, "f": seen}
        for unit in (*units_of(images), *units_of(seen)):
            make(unit, store, stages)
        names += [name_of(part, stages, store, 512) for part in (images, seen)]
    assert len(set(names[::2])) == 1
    assert len(set(names[1::2])) == 1


def ready(*units):
    stages = {u.stage.key: u.stage for u in units}
    return Ready(units, stages, threading.Event())


def test_units_wait_for_their_inputs_and_come_in_plan_order():
    first = stage("a", kind="autoencoder")
    second = stage("b", inputs={"autoencoder": Input(kind="autoencoder", key="a")})
    third = stage("c", kind="denoiser")
    hand = ready(Unit(first), Unit(second), Unit(third))
    assert hand.take().stage.key == "a"
    assert hand.take().stage.key == "c"
    hand.give(Unit(first), ok=True)
    assert hand.take().stage.key == "b"
    hand.give(Unit(second), ok=True)
    hand.give(Unit(third), ok=True)
    assert hand.take() is None


def test_what_needs_a_failed_unit_does_not_run():
    first = stage("a", kind="autoencoder")
    second = stage("b", inputs={"autoencoder": Input(kind="autoencoder", key="a")})
    hand = ready(Unit(first), Unit(second))
    hand.give(hand.take(), ok=False)
    assert hand.take() is None


def test_several_runners_begin_with_what_the_longest_chain_waits_for():
    budget = {"flops": 1e12, "device_minutes": None, "images": None, "steps": None}
    quick = Unit(stage("a", kind="scores"))
    model = {"channels": 8, "multipliers": [1], "attention_sizes": [], "conditioning": "none"}
    pixels = stage("f1", kind="autoencoder")
    below = {"autoencoder": Input(kind="autoencoder", key="f1")}
    long = Unit(stage("b", kind="denoiser", params={**model, "budget": budget}, inputs=below))
    stages = {"f1": pixels} | {u.stage.key: u.stage for u in (quick, long)}
    for longest_first, first in ((False, quick), (True, long)):
        hand = Ready([quick, long], stages, threading.Event(), longest_first=longest_first)
        assert hand.take() == first


def test_what_measures_speed_runs_last_and_alone():
    units = [
        Unit(stage("a", kind="speed")),
        Unit(stage("b", kind="scores")),
        Unit(stage("c", kind="speed")),
        Unit(stage("d", kind="denoiser")),
    ]
    stages = {u.stage.key: u.stage for u in units}
    hand = Ready(units, stages, threading.Event(), alone=frozenset({"speed"}))
    order, now, most = [], set(), {"speed": 0, "other": 0}
    looking = threading.Lock()

    def serve():
        while (unit := hand.take()) is not None:
            with looking:
                order.append(unit.stage.key)
                now.add(unit.stage.kind)
                kind = "speed" if unit.stage.kind == "speed" else "other"
                most[kind] = max(most[kind], len(now))
            time.sleep(0.05)
            with looking:
                now.discard(unit.stage.kind)
            hand.give(unit, ok=True)

    threads = [threading.Thread(target=serve) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[2:] == ["a", "c"]
    assert set(order[:2]) == {"b", "d"}
    assert most == {"speed": 1, "other": 2}


class Working(Runner):
    """A runner that takes a while and notes when it began and ended what."""

    def __init__(self, log, **how):
        super().__init__("cpu", **how)
        self.log = log

    def events(self, task):
        self.log.append(("begin", task.key))
        time.sleep(0.1)
        (task.output / "made.txt").write_text(task.key)
        self.log.append(("end", task.key))
        return iter([{"event": "done", "seconds": 0.1}])

    def close(self):
        pass


@pytest.mark.parametrize(("runners", "crowded"), [(3, True), (1, False), (3, False)])
def test_speeds_come_last_and_one_at_a_time_unless_over_a_cluster(
    tmp_path, monkeypatch, runners, crowded
):
    long = {"speed": 2.0}  # so that it would come first
    monkeypatch.setattr(
        "ldmbench.execute.ready.rough_seconds", lambda stage, stages: long.get(stage.kind, 1.0)
    )
    kinds = {"a": "speed", "b": "speed", "c": "samples", "d": "samples", "e": "coding"}
    plan = Plan(
        suite="s", suite_digest="", cells=(), metrics=(), probes=(),
        stages=tuple(stage(key, kind=kind) for key, kind in kinds.items()),
    )  # fmt: skip
    log = []
    found = run_plan(
        plan, Store(tmp_path), listener=MagicMock(),
        runners=[Working(log, crowded=crowded) for _ in range(runners)],
    )  # fmt: skip
    assert (found.executed, found.failed) == (5, {})
    alone = {(("begin", key), ("end", key)) for key in "ab"}
    assert ({tuple(log[-4:-2]), tuple(log[-2:])} == alone) == (crowded or runners == 1)


@pytest.mark.parametrize(
    ("names", "threads"),
    [(["cuda:0"], None), (["cuda:0", "cuda:1"], "8"), (["cpu", "cuda:0"], "8"), (["cpu"], None)],
)
def test_workers_of_one_machine_share_its_cores_whatever_they_compute_on(
    tmp_path, monkeypatch, names, threads
):
    """Each GPU worker had all cores. A stage that is timed has them, alone."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made = runners_of(names, tmp_path, monkeypatch)
    assert {runner.crowded for runner in made} == {len(names) > 1}
    assert {runner.threads_alone for runner in made} == {16 if threads else None}
    given = [runner._process._environment.get("OMP_NUM_THREADS") for runner in made]
    assert given == [threads] * len(names)


def test_a_worker_sees_its_own_gpu_alone_and_one_on_the_processor_none(tmp_path, monkeypatch):
    made = runners_of(["cuda:1", "cuda:0", "cpu"], tmp_path, monkeypatch)
    assert [r._process._environment["CUDA_VISIBLE_DEVICES"] for r in made] == ["MIG-b", "0", "-1"]
    assert [runner.device for runner in made] == ["cuda:0", "cuda:0", "cpu"]
    assert [runner._process.title for runner in made] == ["cuda:1", "cuda:0", "cpu"]


def runners_of(names, folder, monkeypatch):
    """Return what a run on these devices of a machine of 16 cores would start."""
    told = {}
    say(monkeypatch, gpu(), gpu("MIG", visible="MIG-b"))
    monkeypatch.setattr(local, "cores", lambda: 16)
    monkeypatch.setattr(local, "run_plan", lambda plan, store, **how: told.update(how))
    local.execute(None, None, devices=names, listener=MagicMock(), log=folder / "log")
    return told["runners"]


@pytest.mark.parametrize(
    ("cores", "gib", "workers"), [(2, 24, 2), (1, 24, 1), (2, 4, 1), (16, 16, 2), (64, 256, 4)]
)
def test_a_processor_gets_as_many_workers_as_it_has_room_for(monkeypatch, cores, gib, workers):
    monkeypatch.delenv("LDMBENCH_DEVICES")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("ldmbench.execute.devices.cores", lambda: cores)
    memory = SimpleNamespace(total=gib * 2**30)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    assert devices() == ["cpu"] * workers


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("just this"), "just this"),
        (OSError(errno.ENOSPC, "x"), "the disk is full"),
        (OSError("16384 requested and 8192 written"), "no more can be written there (a quota"),
        (OSError("encoder error -2 when writing image file"), "no more can be written there"),
        (OSError("cannot identify image file"), "OSError: cannot identify image file (test_"),
        (ValueError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (MemoryError(), "out of memory on cpu: lower sample.micro_batch"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory on cpu"),
        (RuntimeError("CUDA error: out of memory"), "out of memory on cpu"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "out of memory on"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out of memory on cpu"),
        (
            RuntimeError("CUDA error: device-side assert triggered\nCompile with"),
            "cpu stopped with 'CUDA error: device-side assert triggered' (often a class",
        ),
        (RuntimeError("odd\n  thing"), "RuntimeError: odd thing (test_execute_local.py:"),
    ],
)
def test_a_failure_is_one_sentence(tmp_path, error, message):
    task = Task(
        kind="scores",
        key="k",
        params=tiny.PARAMS["scores"],
        inputs={},
        output=tmp_path,
        scratch=tmp_path,
    )
    with pytest.raises(type(error)) as caught:
        raise error
    assert message in describe_failure(caught.value, task)
    assert "\n" not in describe_failure(caught.value, task)


def test_the_code_digest_sees_the_rooms_of_its_stage_and_no_others(tmp_path, monkeypatch):
    for name in ("stages/scores.py", "metrics/frechet.py", "models/unet.py", "seeds.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(machine, "PACKAGE", tmp_path)
    digest = machine.code_digest.__wrapped__
    before = digest("scores")
    (tmp_path / "models/unet.py").write_text("changed")
    assert digest("scores") == before
    (tmp_path / "metrics/frechet.py").write_text("changed")
    assert digest("scores") != before


@pytest.mark.slow
def test_two_runs_on_one_store_make_nothing_twice(tmp_path):
    suite, store = tiny.write_suite(tmp_path), tmp_path / "store"
    command = [*forked.DOOR, "run", str(suite), "--store", str(store), "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told_ = [json.loads(process.communicate()[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    alone = ldmbench.run(suite, store=tmp_path / "alone")
    assert sum(t["executed"] for t in told_) == alone._all_runs.find().executed

    def scores(records):
        return [[s.model_dump() for s in r.scores] for r in records]

    one, other = (scores(Runs(store).records(told["run"])) for told in told_)
    assert one == other == scores(alone.records)


class Saying(Runner):
    """A runner that says what it is told to say."""

    def __init__(self, *events):
        super().__init__("cpu")
        self.said = events

    def events(self, task):
        return iter(self.said)

    def close(self):
        pass


@pytest.mark.parametrize(("wrong", "kind"), [(True, InputError), (False, StageError)])
def test_what_a_worker_was_given_wrongly_is_the_inputs_fault(tmp_path, wrong, kind):
    said = {"event": "failed", "message": "a row of zeros", "wrong": wrong}
    task = Task(
        kind="scores",
        key="k",
        params=tiny.PARAMS["scores"],
        inputs={},
        output=tmp_path,
        scratch=tmp_path,
    )
    with pytest.raises(kind, match="a row of zeros"):
        Saying(said).run(task, lambda *_: None, lambda _: None)
    plan = Plan(
        suite="s", suite_digest="", cells=(), metrics=(), probes=(),
        stages=(stage("k", kind="scores"),),
    )  # fmt: skip
    found = run_plan(plan, Store(tmp_path), runners=[Saying(said)], listener=MagicMock())
    assert found.failed == {"k": "a row of zeros"}
    assert found.wrong == ({"k"} if wrong else set())
