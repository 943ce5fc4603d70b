"""A real Ray cluster of two nodes on this machine: equal scores, lost actors, strangers."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import forked
import psutil
import pytest
import tiny
from gpu_answers import gpu, say

from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.execute import cluster, host
from ldmbench.execute.host import code_here, files_of, look, settle
from ldmbench.execute.process import WorkerProcess
from ldmbench.execute.ray_workers import RayWorker
from ldmbench.execute.runner import LostError
from ldmbench.records.runs import Runs
from ldmbench.schema.task import Task
from ldmbench.store.disk import Store


@pytest.fixture(scope="module")
def two_nodes():
    """The address of a cluster of two nodes with a processor each."""
    os.environ |= {
        "RAY_AUTH_MODE": "disabled",  # else a token is written into the home folder
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    try:
        made = Cluster(initialize_head=True, head_node_args=node)
        made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    except Exception as error:  # Ray gives its parts 30 s, and raises a bare one
        pytest.skip(f"this machine is too busy to start Ray: {error}")
    yield made.address
    made.shutdown()


def run(suite, store, *more, meanwhile=None, **environment):
    """Run a suite as a user does; return (exit code, what stderr holds, scores by cell)."""
    process = subprocess.Popen(
        [*forked.DOOR, "run", str(suite), "--store", str(store), *more],
        env={**os.environ, "LDMBENCH_DEVICES": "cpu,cpu", **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if meanwhile:
        threading.Thread(target=meanwhile, daemon=True).start()
    said = process.communicate(timeout=900)[1]
    all_runs = Runs(store)
    scores = {
        r.cell.id: [s.model_dump() for s in r.scores] for r in all_runs.records(all_runs.find().id)
    }
    return process.returncode, said, scores


def kill(times):
    """SIGKILL the first actors of ours seen at work."""
    killed = set()
    while len(killed) < times:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process().children(recursive=True):
                at_work = process.pid not in killed and "ray::Host.run" in process.cmdline()
                if at_work and process.children():
                    killed.add(process.pid)
                    process.kill()
                    break
        time.sleep(0.05)


STUB = """
import sys
if "ldmbench.execute.worker" in sys.orig_argv:
    import json, os, pathlib, time
    print('{"event": "hello", "machine": {"device": "stub"}}', flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        time.sleep(2)
        pathlib.Path(task["output"], "made").write_text(task["output"])
        print('{"event": "progress", "fraction": 1.0, "note": "all"}', flush=True)
        print('{"event": "done", "seconds": 2.0}', flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def stub_cluster(tmp_path_factory):
    """A cluster of our own whose worker processes only sleep and write."""
    folder = tmp_path_factory.mktemp("stub")
    (folder / "sitecustomize.py").write_text(STUB)
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    patch.setenv("RAY_AUTH_MODE", "disabled")  # else a token is written into the home folder
    patch.setenv("LDMBENCH_DEVICES", "cpu")
    patch.delenv("RAY_ADDRESS", raising=False)
    with contextlib.ExitStack() as stack:
        stack.callback(patch.undo)
        try:
            ray = stack.enter_context(cluster._connected())
        except InputError as error:  # Ray gives its parts 30 s
            pytest.skip(f"this machine is too busy to start Ray: {error}")
        yield ray


@pytest.fixture
def runner(stub_cluster, tmp_path):
    """A runner of that cluster, and what it warned of."""
    worker = RayWorker("cpu", {"CPU": 1})
    made = cluster._RayRunner(stub_cluster, worker, tmp_path / "log", print, worker)
    yield made
    made.close()


def task(folder):
    (folder / "out").mkdir()
    (folder / "scratch").mkdir()
    return Task(kind="scores", key="k", params=tiny.PARAMS["scores"], inputs={},
                output=folder / "out", scratch=folder / "scratch")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kills", [0, 1])
def test_a_lost_actor_gives_its_task_back_and_is_replaced(runner, tmp_path, kills):
    notes, warnings = [], []
    killer = threading.Thread(target=kill, args=(kills,), daemon=True)
    killer.start()
    given = task(tmp_path)

    def run():
        return runner.run(given, lambda _, note: notes.append(note), warnings.append)

    if kills:
        with pytest.raises(LostError, match=r"was lost \("):
            run()
    assert run().machine["device"] == "stub"
    assert notes == ["all"]
    [made] = given.output.iterdir()
    assert made.read_text() == str(given.output)
    assert warnings == []
    assert {path.name for path in tmp_path.iterdir()} == {"out", "scratch", "log"}


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 4, reason="two Ray nodes and two workers want 4 cores")
def test_scores_equal_those_of_the_local_executor_although_an_actor_is_killed(tmp_path, two_nodes):
    suite = tiny.write_suite(tmp_path)
    code, said, expected = run(suite, tmp_path / "local")
    assert code == 0, said
    code, said, scores = run(
        suite, tmp_path / "store", "--executor", "ray", RAY_ADDRESS=two_nodes,
        meanwhile=lambda: kill(1),
    )  # fmt: skip
    assert code == 0, said
    assert "was lost" in said
    assert "the stage runs again" in said
    assert scores == expected
    assert not list((tmp_path / "store" / "tmp").iterdir())
    environment = {**os.environ, "RAY_ADDRESS": "nowhere:1"}  # nothing to do: no cluster is asked
    again = subprocess.run(
        [sys.executable, "-m", "ldmbench", "run", str(suite), "--store", str(tmp_path / "store"),
         "--executor", "ray", "--json"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(again.stdout)["executed"] == 0


def test_a_killed_worker_is_a_failed_task_of_its_node(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = WorkerProcess._start

    def dies(self):
        process = start(self)
        os.kill(process.pid, signal.SIGKILL)
        return process

    monkeypatch.setattr(WorkerProcess, "_start", dies)
    made = host.Host("cpu", str(tmp_path / "log"), environment={}, folder=str(tmp_path), threads=1)
    *_, last = made.run(task(tmp_path).model_dump_json())
    assert last["event"] == "failed"
    assert "the worker process on cpu was killed (signal 9)" in last["message"]


def test_without_ray_one_sentence_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda _: None)
    suite = tiny.write_suite(tmp_path)
    assert outcome(["run", str(suite), "--executor", "ray"]) == 2
    assert "pip install 'ldmbench[ray]'" in capsys.readouterr().err


def test_an_address_at_which_nobody_listens(monkeypatch):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{held.getsockname()[1]}")
        since = time.monotonic()
        with pytest.raises(InputError, match=r"no Ray cluster answers at '127.0.0.1:.*ray start"):
            cluster._check_address(os.environ["RAY_ADDRESS"])
    assert time.monotonic() - since < 5


def fact(**changes):
    return {
        "node": "n1", "text": "probe", "trouble": "", "unusable": "", "code": code_here(),
        "versions": {"ldmbench": "0"}, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"text": ""}, "node n1 does not share the store"),
        ({"trouble": "Read-only file system"}, r"the store .* \(Read-only file system\); put it"),
        ({"unusable": "the driver is too old"}, "node n1: the driver is too old"),
        ({"code": "0"}, r"node n1 has another ldmbench \(0, code 0\)"),
    ],
)
def test_a_node_with_another_store_or_code_is_refused(tmp_path, changes, why):
    answer = tmp_path / "answer"
    answer.write_text("probe")
    cluster._refuse_other(fact(), tmp_path / "probe", answer, Store(tmp_path))
    with pytest.raises(InputError, match=why):
        cluster._refuse_other(fact(**changes), tmp_path / "probe", answer, Store(tmp_path))


def test_a_node_says_what_it_sees_of_the_store(tmp_path):
    (tmp_path / "question").write_text("xyz")
    found = look(str(tmp_path / "question"), str(tmp_path / "answer"), ["cpu"])
    assert (found["text"], found["trouble"]) == ("xyz", "")
    assert (tmp_path / "answer").read_text() == "xyz"
    assert look(str(tmp_path / "question"), str(tmp_path / "no" / "answer"), [])["trouble"]


def test_a_node_says_whose_speeds_count_by_the_devices_of_the_run(tmp_path, monkeypatch):
    """It named no device, so that a speed of its processor passed for one of its GPU."""
    question, answer = str(tmp_path / "question"), str(tmp_path / "answer")
    (tmp_path / "question").write_text("xyz")
    say(monkeypatch, gpu(), gpu("A100", visible="1"))
    monkeypatch.setattr(host, "signs", lambda: "nvidia-smi lists 2 GPUs")
    found = {kind: look(question, answer, [kind])["machines"] for kind in ("cpu", "cuda")}
    assert [here["kind"] for here in found["cpu"]] == ["cpu"]
    assert [here["device"] for here in found["cuda"]] == ["NVIDIA H200", "A100"]
    say(monkeypatch, reason="the driver is too old")
    assert "the driver is too old" in look(question, answer, ["cuda"])["unusable"]


def test_files_of_another_node_are_waited_for(tmp_path):
    (tmp_path / "a").write_text("1")
    assert settle(tmp_path, files_of(tmp_path), patience=0)
    assert not settle(tmp_path, {"a": 1, "deep/b": 2}, patience=0)

    def write():
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "b").write_text("22")

    timer = threading.Timer(0.3, write)
    timer.start()
    assert settle(tmp_path, {"a": 1, "deep/b": 2}, patience=20)


@pytest.mark.slow
def test_a_placement_group_trains_one_model_with_two_processes(tmp_path, monkeypatch):
    """Both processors of one node; the two nodes of one processor each cannot."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for name in ("PYTHONPATH", "LDMBENCH_DEVICES"):  # those of the cluster of stubs
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ldmbench.execute.ray_workers.cores", lambda: 2)
    suite, store = tiny.write_suite(tmp_path), tmp_path / "store"
    sets = ["--set", "sample.steps=2", "--set", "metrics=[fid]"]
    code, said, _ = run(suite, store, *sets, "--executor", "ray", "--devices", "2")
    assert code == 0, said
    costs = [json.loads(p.read_text()) for p in (store / "denoiser").rglob("cost.json")]
    assert costs
    assert {(cost["devices"], cost["steps"]) for cost in costs} == {(2, 3)}
