"""A worker process: silence is told, death is one sentence, a cut line hangs nobody."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny

from ldmbench.execute import process
from ldmbench.execute.process import WorkerProcess
from ldmbench.schema.task import Task

HELLO = 'print(\'{"event": "hello", "machine": {}}\', flush=True); '


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A worker process that runs other code, patient for a fifth of a second."""

    def make(code):
        real = process.subprocess.Popen
        monkeypatch.setattr(
            process.subprocess,
            "Popen",
            lambda command, **more: real([sys.executable, "-c", HELLO + code], **more),
        )
        made.append(WorkerProcess("cpu", tmp_path / "log", silence=0.2))
        return made[-1]

    made = []
    yield make
    for one in made:
        one.close()


def task(folder):
    return Task(
        kind="scores",
        key="k",
        params=tiny.PARAMS["scores"],
        inputs={},
        output=folder,
        scratch=folder,
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import os; os.kill(os.getpid(), 9)",
            "on cpu was killed (signal 9), perhaps because memory ran out",
        ),
        ("import os; os.kill(os.getpid(), 15)", "died of SIGTERM"),
        ("import os; os.kill(os.getpid(), 40)", "died of signal 40"),
        ("import sys; sys.exit(3)", "ended with code 3"),
        ('import sys; sys.stdout.write(\'{"event": "pro\'); sys.exit(1)', "ended with code 1"),
    ],
)
def test_a_death_is_one_sentence(worker, tmp_path, code, message):
    events = list(worker(code).run(task(tmp_path)))
    last = [event for event in events if event["event"] != "warning"]
    assert [event["event"] for event in last] == ["hello", "failed"]
    assert message in last[-1]["message"]


def test_a_stopped_worker_is_told_once_and_goes_on_when_it_is_woken(worker, tmp_path):
    done = 'print(\'{"event": "done", "seconds": 1}\', flush=True); time.sleep(60)'
    one = worker(f"import os, signal, time; os.kill(os.getpid(), signal.SIGSTOP); {done}")
    events = []
    for event in one.run(task(tmp_path)):
        events.append(event["event"])
        if event["event"] == "warning":
            assert "has not responded for" in event["message"]
            pid = int(event["message"].split()[3])
            threading.Timer(0.6, os.kill, (pid, signal.SIGCONT)).start()
    assert events == ["hello", "warning", "done"]


def test_a_new_process_takes_the_next_task(worker, tmp_path):
    one = worker("import os; os.kill(os.getpid(), 9)")
    for _ in range(2):
        assert list(one.run(task(tmp_path)))[-1]["event"] == "failed"


def test_a_process_whose_device_failed_is_not_used_again(worker, tmp_path):
    """It went on, and every later task failed."""
    said = '{"event": "failed", "message": "assert", "trace": "", "ends": true}'
    one = worker(f"import time; print({said!r}, flush=True); time.sleep(60)")
    for _ in range(2):
        assert [event["event"] for event in one.run(task(tmp_path))] == ["hello", "failed"]
    assert one._process.poll() is not None


def test_closing_ends_a_task_in_flight(worker, tmp_path):
    one = worker("import time; time.sleep(60)")
    threading.Timer(0.5, one.close).start()
    since = time.monotonic()
    last = list(one.run(task(tmp_path)))[-1]
    assert last == {"event": "failed", "message": "stopped"}
    assert time.monotonic() - since < 20


def test_a_log_that_cannot_be_written_is_an_error_of_the_file_system(tmp_path):
    one = WorkerProcess("cpu", Path(tmp_path / "no" / "log"))
    with pytest.raises(FileNotFoundError):
        list(one.run(task(tmp_path)))
