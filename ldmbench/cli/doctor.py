"""`ldmbench doctor`: what this machine can and cannot do, and the next command to type."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from ldmbench.cli.options import json_option, print_json, size, store_option
from ldmbench.cli.terminal import listed
from ldmbench.errors import InputError, LdmbenchError
from ldmbench.execute.devices import devices, other_gpus
from ldmbench.execute.gpus import VISIBLE, answer, signs
from ldmbench.schema.weights import WEIGHTS
from ldmbench.store.disk import Store
from ldmbench.store.machine import LIBRARIES, machine

LEAST_DISK = 2e9


@click.command()
@store_option
@json_option
def doctor(store: Path, as_json: bool) -> int:
    """Say what this machine can do, what is missing, and what to type next."""
    checks = [
        _python(),
        *_bytecode(),
        *_libraries(),
        *_devices(),
        _disk(store),
        _store(store),
        *_weights(),
    ]
    wrong = [c for c in checks if c["state"] == "missing"]
    if as_json:
        print_json({"checks": checks, "ready": not wrong})
        return 2 if wrong else 0
    marks = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}
    rows = {f"{marks[c['state']]} {c['what']}": c["found"] for c in checks}
    mend = "install what is MISSING, then run `ldmbench doctor` again"
    click.echo(listed(rows))
    click.echo(f"next    {mend if wrong else 'ldmbench run smoke'}")
    return 2 if wrong else 0


def _check(what: str, found: str, state: str = "ok") -> dict[str, Any]:
    return {"what": what, "found": found, "state": state}


def _python() -> dict[str, Any]:
    here = machine()
    return _check("python", f"{here['python']} on {here['processor']}, {here['cores']} cores")


def _bytecode() -> list[dict[str, Any]]:
    """Say what it costs that Python keeps no compiled modules, as in many container images."""
    if not sys.dont_write_bytecode:
        return []
    text = (
        "PYTHONDONTWRITEBYTECODE is set: unless its modules were compiled at installation, every"
        " process compiles torch and diffusers again, some 10 s; unset it"
    )
    return [_check("bytecode", text, "note")]


def _libraries() -> list[dict[str, Any]]:
    found = []
    for name in LIBRARIES:
        try:
            found.append(_check(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append(_check(name, "not installed: pip install ldmbench", "missing"))
    if sys.version_info >= (3, 12):
        found.append(
            _check(
                "clean-fid", "the library's own FID needs scipy < 1.18; ldmbench's does not", "note"
            )
        )
    return found


def _devices() -> list[dict[str, Any]]:
    """Say what workers would compute on, and what torch says of every GPU."""
    why = signs()
    try:
        found = devices()
    except InputError as error:
        return [_check("devices", str(error), "missing"), *_gpus(why)]
    if set(found) == {"cpu"} and not why:
        text = other_gpus() or "cpu only: fine for smoke and quickstart, slow beyond"
        return [_check("devices", text, "note")]
    return [_check("devices", ", ".join(found)), *_gpus(why)]


def _gpus(why: str) -> list[dict[str, Any]]:
    if not why:
        return []
    found = answer()
    built = found.built_for or "processors alone"
    checks = [_check("torch build", f"{found.version} for {built}; {why}")]
    for number, gpu in enumerate(found.gpus):
        facts = gpu.facts
        text = (
            f"{gpu.name}, {gpu.memory / 2**30:.0f} GiB, compute capability"
            f" {facts.get('capability')}, driver {facts.get('driver') or 'unknown'}, cuDNN"
            f" {facts.get('cudnn')}, {VISIBLE}={gpu.visible}"
        )
        wrong = f": {gpu.trouble}" if gpu.trouble else ""
        checks.append(_check(f"cuda:{number}", text + wrong, "note" if wrong else "ok"))
    return checks


def _disk(store: Path) -> dict[str, Any]:
    place = store
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    return _check("disk", f"{size(free)} free at {place}", "ok" if free > LEAST_DISK else "note")


def _store(store: Path) -> dict[str, Any]:
    if not store.exists():
        return _check("store", f"{store} (made by the first run)")
    try:
        Store(store).open()
    except LdmbenchError as error:
        return _check("store", str(error), "missing")
    return _check("store", str(store))


def _weights() -> list[dict[str, Any]]:
    shipped = [w for w in WEIGHTS if w.shipped]
    others = [w.name for w in WEIGHTS if not w.shipped]
    place = os.environ.get("LDMBENCH_WEIGHTS", "~/.cache/ldmbench/weights")
    return [
        _check("evaluators", ", ".join(w.name for w in shipped) + " (embedded)"),
        _check("more evaluators", f"looked for in {place}: {', '.join(others)}", "note"),
    ]
