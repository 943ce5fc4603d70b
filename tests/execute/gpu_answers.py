"""What torch could say of a machine's GPUs, for tests on machines without."""

from ldmbench.execute import gpus

FACTS = {"kind": "cuda", "driver": "580.65.06", "cuda": "13.2", "cudnn": 92600}


def gpu(name="NVIDIA H200", *, visible="0", trouble=None):
    """Return a GPU of that name."""
    return gpus.Gpu({"device": name, **FACTS}, 139 * 2**30, visible, trouble)


def say(monkeypatch, *found, reason=None, built_for="CUDA 13.2", signs="nvidia-smi lists 2 GPUs"):
    """Let torch find these GPUs, and this machine point to some."""
    told = gpus.Answer("2.15.0+cu132", built_for, found, reason)
    monkeypatch.setattr(gpus, "answer", lambda: told)
    for place in ("gpus", "devices"):
        monkeypatch.setattr(f"ldmbench.execute.{place}.signs", lambda: signs)
