"""pipeline x stages/ and catalog x code match one to one."""

import re
from pathlib import Path
from typing import get_args

import pytest

from ldmbench import catalog
from ldmbench.pipeline import STAGES
from ldmbench.registry import resolve
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Kind
from ldmbench.schema.suite import Probe
from ldmbench.store.machine import SHARED

ROOT = Path(__file__).parent.parent / "ldmbench"


def test_ten_stages_and_a_file_for_each():
    files = {p.stem for p in (ROOT / "stages").glob("*.py")} - {
        "__init__",
        "common",
        "kept",
        "own",
        "subject",
        "plugin",
        "truth",
    }
    assert set(STAGES) == set(get_args(Kind)) == files
    assert len(STAGES) == 10


@pytest.mark.parametrize("kind", STAGES)
def test_stage_rows_resolve(kind):
    assert callable(resolve(STAGES[kind].run))
    for room in STAGES[kind].rooms:
        assert (ROOT / room).exists()


@pytest.mark.parametrize("kind", STAGES)
def test_a_change_of_any_stage_code_behind_a_kind_changes_its_digest(kind):
    """What stages/<kind>.py imports from its own room, and what that imports, is code of its."""
    seen, left = set(), [kind]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            text = (ROOT / "stages" / f"{name}.py").read_text()
            left += re.findall(r"^from ldmbench\.stages\.(\w+) import", text, re.MULTILINE)
    known = {f"stages/{kind}.py", *SHARED, *STAGES[kind].rooms}
    assert {f"stages/{name}.py" for name in seen} <= known


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda p: p.name)
def test_stages_are_short(path):
    limit = {"common.py": 160, "scores.py": 180, "speed.py": 160}
    limit |= dict.fromkeys(("subject.py", "samples.py"), 130)
    assert len(path.read_text().splitlines()) <= limit.get(path.name, 100)


def test_catalog_names_what_the_schema_allows():
    assert get_args(Probe) == tuple(catalog.PROBES)


def test_protocols_resolve():
    for name, row in catalog.PROTOCOLS.items():
        protocol = resolve(row.target)
        assert isinstance(protocol, Protocol)
        assert protocol.name == name
        assert protocol.extractor in catalog.EXTRACTORS


@pytest.mark.parametrize(
    "row",
    [*catalog.DATASETS.values(), *catalog.MODELS.values(), *catalog.SAMPLERS.values()],
    ids=lambda row: row.target,
)
def test_catalog_rows_resolve(row):
    assert resolve(row.target) is not None
