"""What a worker does when memory runs out, a device fails or code of others changes flags."""

import pytest
import tiny
import torch

from ldmbench.errors import InputError
from ldmbench.execute import worker
from ldmbench.execute.failures import device_fault
from ldmbench.pipeline import STAGES, StageRow
from ldmbench.plugins import calling
from ldmbench.schema.task import Task
from ldmbench.stages import common

ASSERT = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronous"


class Wire:
    """Keeps what is sent."""

    def __init__(self):
        self.events = []

    def send(self, event, **fields):
        self.events.append({"event": event, **fields})

    def progress(self, *_):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Run a function as a stage; return the events."""

    def served(run, **how):
        monkeypatch.setitem(STAGES, "scores", StageRow("here:run", 1, False, (), (), ()))
        real = worker.resolve
        monkeypatch.setattr(
            worker, "resolve", lambda name: run if name == "here:run" else real(name)
        )
        output = tmp_path / "output"
        output.mkdir(exist_ok=True)
        task = Task(
            kind="scores",
            key="k",
            params=tiny.PARAMS["scores"],
            inputs={},
            output=output,
            scratch=tmp_path,
        )
        wire = Wire()
        worker.serve(task, wire, **how)
        return wire.events

    return served


def failing(*errors):
    left = list(errors)

    def run(task, report):
        (task.output / "half").touch()
        if left:
            raise left.pop(0)

    return run


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        MemoryError(),
    ],
)
def test_a_stage_that_runs_out_of_memory_runs_once_more_with_memory_emptied(serve, error):
    common.resident(1)(lambda: object())()
    warning, done = serve(failing(error), machine={}, title="cuda:3")
    assert done["event"] == "done"
    assert warning["message"].startswith("out of memory on cuda:3 (this process holds")
    assert warning["message"].endswith("of earlier stages removed, and the stage runs once more")
    assert common.let_go() == 0


def test_what_the_first_attempt_had_in_memory_is_free_in_the_second(serve):
    class Big:
        alive = 0

        def __init__(self):
            Big.alive += 1

        def __del__(self):
            Big.alive -= 1

    seen = []

    def run(task, report):
        seen.append(Big.alive)
        made = Big()
        if len(seen) == 1:
            raise MemoryError(made.alive)

    assert serve(run)[-1]["event"] == "done"
    assert seen == [0, 0]


def test_a_second_time_fails_the_cell_and_says_what_lay_there(serve):
    _, failed = serve(failing(MemoryError(), MemoryError()))
    assert failed["message"].startswith("out of memory on cpu (this process holds")
    assert failed["message"].endswith("lower sample.micro_batch or the model's batch")
    assert not failed["ends"]
    assert not failed["wrong"]


@pytest.mark.parametrize(
    "words",
    [
        "device-side assert triggered",
        "an illegal memory access was encountered",
        "unspecified launch failure",
        "misaligned address",
    ],
)
def test_a_device_that_failed_ends_the_worker(serve, words):
    [failed] = serve(failing(RuntimeError(f"CUDA error: {words}\nmore")), title="cuda:1")
    assert failed["ends"]
    assert failed["message"].startswith(f"cuda:1 stopped with 'CUDA error: {words}")


def test_a_device_that_fails_in_code_of_others_ends_the_worker_too(serve):
    def theirs():
        raise RuntimeError(ASSERT)

    [failed] = serve(lambda *_: calling("mine:sample failed", theirs))
    assert failed["ends"]
    assert not failed["wrong"]


def test_an_error_of_a_stage_does_not_end_the_worker(serve):
    [failed] = serve(failing(ValueError("odd")))
    assert not failed["ends"]
    [failed] = serve(failing(InputError("your file")))
    assert failed["wrong"]
    assert not failed["ends"]
    assert device_fault(RuntimeError("CUDA error: invalid configuration argument")) is None


def test_before_each_task_flags_and_defaults_are_as_at_the_start():
    """Code of others may change them for the whole process."""
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    common.prepare("cpu")
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_the_oldest_goes_before_another_is_made():
    """Afterwards, there were two models on the device for a while."""
    alive, most = set(), []

    class Model:
        def __init__(self, name):
            self.name = name
            alive.add(name)
            most.append(len(alive))

        def __del__(self):
            alive.discard(self.name)

    held = common.resident(1)(Model)
    for name in "aabc":
        held(name)
    assert most == [1, 1, 1]
    held2 = common.resident(2)(Model)
    for name in "xyxz":
        held2(name)
    assert alive == {"c", "x", "z"}
    assert common.let_go() >= 3
    assert not alive
