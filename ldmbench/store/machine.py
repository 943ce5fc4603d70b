"""The machine and the code: fingerprints stamped on every artefact."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest_files
from ldmbench.pipeline import STAGES
from ldmbench.processor import processor_name
from ldmbench.schema.base import Kind

PACKAGE = Path(__file__).resolve().parent.parent
SHARED = ("ahead.py", "seeds.py", "canonical.py", "stages/common.py", "stages/plugin.py")
"""Code behind the outputs of every stage."""
LIBRARIES = ("torch", "numpy", "scipy", "diffusers", "torch-fidelity", "open_clip_torch", "pillow")


@cache
def machine() -> dict[str, Any]:
    """Return what this machine is, without importing heavy libraries."""
    return {
        "platform": platform.platform(terse=True),
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "python": platform.python_version(),
    }


@cache
def versions() -> dict[str, str]:
    """Return the versions of the libraries that make numbers."""
    found = {"ldmbench": metadata.version("ldmbench")}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_digest(kind: Kind) -> str:
    """Return the digest of the code that makes a stage's outputs."""
    parts = [PACKAGE / name for name in (f"stages/{kind}.py", *SHARED)]
    for room in STAGES[kind].rooms:
        place = PACKAGE / room
        parts += [place] if place.suffix else sorted(place.rglob("*.py"))
    return digest_files((p for p in parts if p.exists()), root=PACKAGE)[:16]
