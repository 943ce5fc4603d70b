"""Which devices: named, found, refused in one sentence; torch is asked in a process of its own."""

import json
import os
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest
from gpu_answers import gpu, say

from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.execute import gpus, probe
from ldmbench.execute.devices import devices, speed_machines
from ldmbench.store.machine import machine


@pytest.fixture(autouse=True)
def unnamed(monkeypatch):
    """No variable names a device, and nothing is remembered of other tests."""
    for name in ("LDMBENCH_DEVICES", gpus.VISIBLE):
        monkeypatch.delenv(name, raising=False)
    gpus._listed.cache_clear()
    gpus.answer.cache_clear()
    yield
    gpus._listed.cache_clear()


@pytest.fixture
def stub_smi(tmp_path, monkeypatch):
    """An nvidia-smi that lists two GPUs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    stub = folder / "nvidia-smi"
    lines = "".join(f"echo 'GPU {n}: NVIDIA H200 (UUID: GPU-{n})'\n" for n in range(2))
    stub.write_text(f"#!/bin/sh\n{lines}")
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def asked(monkeypatch, *answers):
    """Let the probe's process print these; return the CUDA_VISIBLE_DEVICES it was given."""
    seen, left = [], list(answers)

    def run(_, *, env, **__):
        seen.append(env.get(gpus.VISIBLE))
        text = left.pop(0)
        text = text if isinstance(text, str) else json.dumps(text)
        return SimpleNamespace(stdout=text, stderr="a line\nSegmentation fault", returncode=-11)

    mended = {name: getattr(subprocess, name) for name in ("TimeoutExpired", "SubprocessError")}
    monkeypatch.setattr(gpus, "subprocess", SimpleNamespace(run=run, **mended))
    return seen


def said(*names, **more):
    found = [{"facts": {"device": name, "kind": "cuda"}, "memory": 1} for name in names]
    return {"version": "2.15.0", "built_for": "CUDA 13.2", "gpus": found, "parts": [], **more}


def test_without_a_sign_of_a_gpu_no_process_is_started(monkeypatch):
    monkeypatch.setattr(gpus, "signs", lambda: "")
    monkeypatch.setattr("ldmbench.execute.devices.signs", lambda: "")
    monkeypatch.setattr(gpus, "answer", lambda: pytest.fail("torch was asked"))
    assert set(devices()) == {"cpu"}
    assert {here["kind"] for here in speed_machines(devices())} == {"cpu"}


def test_every_gpu_gets_a_worker(monkeypatch):
    say(monkeypatch, gpu(), gpu(visible="1"))
    assert devices() == ["cuda:0", "cuda:1"]
    monkeypatch.setenv("LDMBENCH_DEVICES", "cuda:1")
    assert devices() == ["cuda:1"]
    monkeypatch.setenv("LDMBENCH_DEVICES", "cpu,cpu")
    assert devices() == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cuda:abc", "found 'cuda:abc'; allowed: cpu, or a list like cuda:0,cuda:1"),
        ("mpsfoo", "found 'mpsfoo'; allowed: cpu, or a list like"),
        ("gpu", "found 'gpu'; allowed: cpu"),
        ("", "found ''; allowed: cpu"),
        ("cuda:99", "found 'cuda:99', and torch sees 2 GPUs here; allowed: cpu, cuda:0 to cuda:1"),
        ("mps", "found 'mps'; Apple GPUs .mps. are not supported: they have no float64"),
        ("xpu:0", "found 'xpu:0'; Intel GPUs .xpu. are not supported"),
        ("rocm", "found 'rocm'; AMD GPUs .ROCm. are not supported"),
    ],
)
def test_names_of_no_device_are_refused(monkeypatch, name, why):
    say(monkeypatch, gpu(), gpu(visible="1"))
    monkeypatch.setenv("LDMBENCH_DEVICES", name)
    with pytest.raises(InputError, match=f"^LDMBENCH_DEVICES: {why}"):
        devices()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (
            {"built_for": ""},
            "^nvidia-smi lists 2 GPUs, but torch 2.15.0.cu132 is built for processors alone;",
        ),
        (
            {"reason": "The NVIDIA driver on your system is too old (found version 11040)"},
            r"built for CUDA 13.2. can use no GPU: The NVIDIA driver .*too old \(found version 11",
        ),
        ({"signs": "CUDA_VISIBLE_DEVICES is '7'"}, "^CUDA_VISIBLE_DEVICES is '7', but .*no GPU"),
    ],
)
def test_gpus_that_torch_cannot_use_are_one_sentence(monkeypatch, how, why):
    say(monkeypatch, **how)
    with pytest.raises(InputError, match=why) as caught:
        devices()
    assert str(caught.value).endswith("set LDMBENCH_DEVICES=cpu to run on the processor")
    assert "\n" not in str(caught.value)


def test_a_gpu_on_which_nothing_computes_is_named(monkeypatch):
    say(monkeypatch, gpu(), gpu("NVIDIA K80", visible="1", trouble="no kernel image is available"))
    with pytest.raises(InputError, match=r"cannot compute on cuda:1 \(NVIDIA K80\): no kernel"):
        devices()
    monkeypatch.setenv("LDMBENCH_DEVICES", "cuda:0")
    assert devices() == ["cuda:0"]


def test_amd_gpus_are_refused_by_name_and_a_build_for_them_runs_on_the_processor(monkeypatch):
    sign = "torch is a build for rocm6.4"
    say(monkeypatch, gpu("AMD Instinct MI300X"), built_for="ROCm 6.4", signs=sign)
    with pytest.raises(InputError, match=r"finds AMD Instinct MI300X: .*not support AMD GPUs"):
        devices()
    say(monkeypatch, built_for="ROCm 6.4", signs=sign)
    assert set(devices()) == {"cpu"}


def test_a_worker_is_told_its_gpu_by_its_entry(monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "3, GPU-ab")
    assert asked(monkeypatch, said("A", "B")) == []
    assert [one.visible for one in gpus.answer().gpus] == ["3", "GPU-ab"]


def test_each_mig_instance_is_asked_in_a_process_that_sees_it_alone(monkeypatch):
    parts = ["MIG-a", "MIG-b"]
    one = said("NVIDIA H200 MIG 1g.18gb")
    seen = asked(monkeypatch, said("NVIDIA H200 MIG 1g.18gb", parts=parts), one, one)
    found = gpus.answer().gpus
    assert seen[0] is None
    assert sorted(seen[1:]) == parts
    assert [(g.name, g.visible) for g in found] == [("NVIDIA H200 MIG 1g.18gb", p) for p in parts]


def test_a_process_that_dies_is_a_reason(monkeypatch):
    asked(monkeypatch, "no JSON")
    assert gpus.answer().reason == "the process that asks it ended with: Segmentation fault"


def test_of_what_torch_says_its_advice_is_left_out(monkeypatch):
    asked(monkeypatch, said(reason="Found no NVIDIA driver on your system. Please check that\nx"))
    assert gpus.answer().reason == "Found no NVIDIA driver on your system"


def test_speeds_count_by_the_names_that_torch_gives(monkeypatch):
    """nvidia-smi calls a MIG instance by its GPU's name; the worker does not."""
    say(monkeypatch, gpu("H200 MIG 1g"), gpu("A100", visible="1"), gpu("A100", visible="2"))
    found = speed_machines(["cpu", "cuda:0", "cuda:1", "cuda:2"])
    assert [here.get("device") for here in found] == [None, "H200 MIG 1g", "A100"]
    assert [here["kind"] for here in found] == ["cpu", "cuda", "cuda"]
    assert found[1]["driver"] == "580.65.06"
    assert found[0]["platform"] == machine()["platform"]
    [only] = speed_machines(["cuda:1"])
    assert only["device"] == "A100"


def test_a_build_for_processors_is_told_without_importing_torch(monkeypatch):
    monkeypatch.setattr(probe, "torch_build", lambda: ("2.15.0+cpu", ""))
    monkeypatch.setattr(probe, "import_module", lambda name: pytest.fail(name))
    assert probe.look()["gpus"] == []
    monkeypatch.setattr(probe, "torch_build", lambda: ("2.15.0", "CUDA 13.2"))
    monkeypatch.setattr(probe, "_has_driver", lambda: False)
    assert probe.look()["reason"] == "the NVIDIA driver's library libcuda.so.1 is not there"


def test_the_build_of_torch_is_read_without_importing_it():
    code = (
        "import sys; from ldmbench.execute.probe import torch_build; print(*torch_build());"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2.")


def test_mig_instances_and_whole_gpus_are_named_by_nvml(monkeypatch):
    def mode(gpu):
        if gpu == "GPU-1":
            raise ValueError("not supported")
        return 1, 1

    def instance(gpu, place):
        if place == 2:
            raise ValueError("not found")
        return f"MIG-{gpu}-{place}"

    nvml = SimpleNamespace(
        NVMLError=ValueError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: f"GPU-{number}",
        nvmlDeviceGetUUID=lambda gpu: gpu,
        nvmlDeviceGetMaxMigDeviceCount=lambda gpu: 3,
        nvmlDeviceGetMigMode=mode,
        nvmlDeviceGetMigDeviceHandleByIndex=instance,
    )
    monkeypatch.setattr(probe, "import_module", lambda name: nvml)
    assert list(probe._parts()) == ["GPU-1", "MIG-GPU-0-0", "MIG-GPU-0-1"]
    monkeypatch.setenv(gpus.VISIBLE, "MIG-x,MIG-y")
    assert list(probe._parts()) == ["MIG-x", "MIG-y"]
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    assert list(probe._parts()) == []


@pytest.mark.parametrize("command", ["run", "plan"])
def test_gpus_that_are_not_there_are_one_sentence_and_nothing_is_made(
    stub_smi, tmp_path, capfd, command
):
    """As on a machine whose driver does not fit: torch itself is asked."""
    store = tmp_path / "store"
    assert outcome([command, "smoke", "--store", str(store)]) == 2
    told = capfd.readouterr().err.strip().splitlines()[-1]
    assert "nvidia-smi lists 2 GPUs, but torch 2." in told
    assert "set LDMBENCH_DEVICES=cpu to run on the processor" in told
    assert not store.exists()


def test_doctor_says_what_is_wrong_with_gpus(stub_smi, capsys):
    assert outcome(["doctor"]) == 2
    told = capsys.readouterr().out
    assert "MISSING devices" in told
    assert "torch build" in told
    assert "nvidia-smi lists 2 GPUs" in told


def test_doctor_shows_every_gpu(monkeypatch, capsys):
    say(monkeypatch, gpu(), gpu("A100", visible="1"))
    for name, value in {"signs": lambda: "nvidia-smi lists 2 GPUs", "answer": gpus.answer}.items():
        monkeypatch.setattr(f"ldmbench.cli.doctor.{name}", value)
    assert outcome(["doctor", "--json"]) == 0
    checks = {
        check["what"]: check["found"] for check in json.loads(capsys.readouterr().out)["checks"]
    }
    assert checks["devices"] == "cuda:0, cuda:1"
    assert checks["cuda:1"].startswith("A100, 139 GiB, compute capability")
    assert "driver 580.65.06, cuDNN 92600" in checks["cuda:0"]
    assert "CUDA 13.2" in checks["torch build"]
