"""What a plan reads of the disk: each source once, however many cells and models use it."""

import numpy as np
import pytest
from PIL import Image
from reads import counted

from ldmbench.session.planning import planned

SUITE = """
suite: many
protocol: torch-fidelity
data:
  mine: {kind: folder, path: images, resolution: 16, reference: 8, validation: 4}
  code: {kind: call, target: "stripes:Stripes", resolution: 16, train: 8, validation: 4}
models:
  first: {autoencoder: {f: [2, 4]}, denoiser: {conditioning: class}, budget: {steps: 5}, data: mine}
  second: {autoencoder: {f: 2}, denoiser: {conditioning: none}, budget: {steps: 5}}
sample:
  steps: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
  eta: [0.0, 0.25, 0.5, 0.75, 1.0]
  count: 8
metrics: [fid]
probes: [reconstruction]
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A suite of many cells on a folder of 42 images in 3 classes, and on code of its own."""
    monkeypatch.setattr("ldmbench.sources.remembered._SETTLED_NS", -1)
    for i in range(42):
        file = tmp_path / f"images/class{i % 3}/{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), i, np.uint8)).save(file)
    (tmp_path / "stripes.py").write_text("class Stripes:\n    pass\n")
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE)
    return file


def _plan(suite):
    return planned(suite, [], [], store=suite.parent / "store")[1]


def test_a_source_is_listed_and_read_once_for_all_cells(suite):
    with counted(suite.parent) as found:
        assert len(_plan(suite).cells) == 200
    images = suite.parent / "images"
    listed = {path: n for (kind, path), n in found.items() if kind == "list"}
    folders = [images, *(images / f"class{i}" for i in range(3))]
    assert {p: listed.pop(str(p), 0) for p in folders} == dict.fromkeys(folders, 1)
    pictures = {p: n for (kind, p), n in found.items() if kind == "open" and p.endswith(".png")}
    assert len(pictures) == 42
    assert set(pictures.values()) == {1}
    assert found["open", str(suite.parent / "stripes.py")] < 10  # checked, parsed and digested


def test_a_second_plan_of_a_process_reads_no_picture(suite):
    first = _plan(suite)
    with counted(suite.parent) as found:
        second = _plan(suite)
    assert second.stages == first.stages
    opened = {path for kind, path in found if kind == "open"}
    assert not any(path.endswith(".png") for path in opened)
    assert not any("images" in path for kind, path in found if kind == "list")


def test_what_changes_between_two_plans_is_read_again(suite):
    before = _plan(suite)
    changed = suite.parent / "images/class0/00.png"
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(changed)
    with counted(suite.parent) as found:
        after = _plan(suite)
    opened = [p for kind, p in found if kind == "open" and p.endswith(".png")]
    assert opened == [str(changed)]
    keys = [{s.key for s in plan.stages if "path" in s.local} for plan in (before, after)]
    assert keys[0].isdisjoint(keys[1])
