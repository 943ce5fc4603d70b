"""What the devices of this machine lack for the trainings of a plan, before anything is made."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from ldmbench.errors import InputError
from ldmbench.execute.devices import NAMES, gpu_of
from ldmbench.plan.names import names_of
from ldmbench.schema.optimisation import lack_of
from ldmbench.schema.params import TrainedDenoiser, TrainedStage
from ldmbench.schema.stage import Plan, Stage
from ldmbench.store.disk import Address, Store

__all__ = ["check_fitness"]


def check_fitness(plan: Plan, store: Store, devices: Sequence[str]) -> None:
    """Refuse trainings that a device of this machine could not do; those in the store are done.

    Raises:
        InputError: a precision that a device lacks, or no compiler for a network to be compiled.
    """
    names = names_of(plan)
    for stage in plan.stages:
        problems = [text for device in dict.fromkeys(devices) for text in _lacks(stage, device)]
        if problems and store.lookup(Address(stage.kind, stage.key)) is None:
            raise InputError(f"{names[stage.key]}: {problems[0]}")


def _lacks(stage: Stage, device: str) -> Iterator[str]:
    """Say what a device lacks for a training."""
    params = stage.params
    if not isinstance(params, TrainedDenoiser | TrainedStage):
        return
    capability = None if device == "cpu" else str(gpu_of(device).facts["capability"])
    lack = lack_of(params.section.precision, capability)
    if lack:
        yield f"precision: {lack} ({device}); or name other devices with {NAMES}"
    if isinstance(params, TrainedDenoiser) and params.section.compile:
        tool = None if _compiles(device) else _compiler(device)
        if tool:
            yield (
                f"compile: found true, and torch.compile needs {tool} on {device}, which is not"
                " here; install it, or train without: compile: false, or --no-compile"
            )


def _compiler(device: str) -> str:
    """Return what torch.compile makes kernels with, by torch's rule."""
    usual = "clang++" if sys.platform == "darwin" else "g++"
    return os.environ.get("CXX", usual) if device == "cpu" else "triton"


def _compiles(device: str) -> bool:
    tool = _compiler(device)
    return bool(shutil.which(tool) if device == "cpu" else find_spec(tool))
