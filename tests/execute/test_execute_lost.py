"""A machine that is lost with its task: another takes it, whether or not there is a new one."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import tiny
from test_execute_local import stage

from ldmbench.errors import StageError
from ldmbench.execute import cluster
from ldmbench.execute.execution import run_plan
from ldmbench.execute.ray_workers import RayWorker
from ldmbench.execute.runner import LostError, Runner
from ldmbench.schema.stage import Plan
from ldmbench.schema.task import Task
from ldmbench.store.disk import Store


class Worker(Runner):
    """One that takes what comes, once `waits` is set, unless it is `lost` with it."""

    def __init__(self, name, *, lost=0, waits=None, dies=False):
        super().__init__("cpu")
        self.name, self.lost, self.waits, self.dies = name, lost, waits, dies
        self.gone, self.tasks = threading.Event(), []

    def is_ready(self):
        if self.gone.is_set() and self.dies:
            raise StageError(f"{self.name} cannot start")
        return not self.gone.is_set() and (self.waits is None or self.waits.is_set())

    def events(self, task):
        self.tasks.append(task.key)
        if self.lost:
            self.lost -= 1
            if not self.lost:
                self.gone.set()
            raise LostError(f"the worker on {self.name} was lost")
        (task.output / "made.txt").write_text(task.key)
        return iter([{"event": "done", "seconds": 0.1}])

    def close(self):
        pass


def ran(folder, *workers, keys=("k",)):
    plan = Plan(
        suite="s", suite_digest="", cells=(), metrics=(), probes=(),
        stages=tuple(stage(key, kind="scores") for key in keys),
    )  # fmt: skip
    listener = MagicMock()
    store = Store(folder)
    store.open()
    found = run_plan(plan, store, runners=workers, listener=listener)
    return found, [call.args[0] for call in listener.warned.call_args_list]


@pytest.mark.parametrize("dies", [False, True])
def test_an_idle_worker_takes_the_task_of_one_that_never_comes_back(tmp_path, dies):
    first = Worker("one", lost=1, dies=dies)
    second = Worker("two", waits=first.gone)
    found, warned = ran(tmp_path, first, second)
    assert (first.tasks, second.tasks, found.failed) == (["k"], ["k"], {})
    assert found.executed == 1
    assert "the worker on one was lost; the stage runs again" in warned[0]
    assert warned[1:] in ([], ["one cannot start; the other workers continue"])


def test_a_task_that_two_machines_are_lost_with_fails_alone(tmp_path):
    worker = Worker("one", lost=9)
    found, _ = ran(tmp_path, worker, keys=("a",))
    assert worker.tasks == ["a", "a"]
    assert found.failed == {"a": "the worker on one was lost, 2 times"}


def test_a_run_ends_when_no_worker_is_left(tmp_path):
    with pytest.raises(StageError, match="one cannot start"):
        ran(tmp_path, Worker("one", lost=1, dies=True))


class GoneError(Exception):
    """What Ray raises."""


def test_a_lost_actor_gives_its_task_back_and_asks_for_room(tmp_path):
    asked = []

    def remote(kind):
        made = MagicMock()
        made.run.options.return_value.remote.return_value = iter(["call"])
        asked.append(made)
        return MagicMock(**{"options.return_value.remote.return_value": made})

    def get(call):
        if call == "call":
            raise GoneError("node 7 died\nand more")
        return "node-7"

    ray = SimpleNamespace(
        remote=remote,
        get=get,
        wait=lambda calls, timeout: (calls if len(asked) == 1 else [], []),
        exceptions=SimpleNamespace(RayError=GoneError, RayTaskError=type("Task", (GoneError,), {})),
    )
    worker = RayWorker("cpu", {"CPU": 1})
    runner = cluster._RayRunner(ray, worker, tmp_path / "log", print, worker)
    given = Task(
        kind="scores",
        key="k",
        params=tiny.PARAMS["scores"],
        inputs={},
        output=tmp_path,
        scratch=tmp_path,
    )
    with pytest.raises(
        LostError, match=r"the worker on node-7 was lost \(GoneError: node 7 died\)"
    ):
        runner.run(given, print, print)
    assert len(asked) == 2
    assert not runner.is_ready()
