"""A user's own sampler: made and hashed once by a worker, and again where anything differs."""

import sys

import pytest
import tiny

from ldmbench.errors import InputError
from ldmbench.schema.task import Task
from ldmbench.sources.digests import plugin_digest
from ldmbench.stages import plugin, samples
from ldmbench.stages.common import let_go
from ldmbench.stages.subject import called_of

SOURCE = """
import numpy as np


class Grey:
    shape = (1, 1, 1)

    def __init__(self, level=0):
        self.level = level

    def sample(self, noise, *, steps, cond, guidance, seeds):
        grey = (np.asarray(noise).reshape(-1, 1, 1, 1) * 40 + 100 + self.level).clip(0, 255)
        return np.broadcast_to(grey, (len(noise), 4, 4, 3)).astype(np.uint8)
"""


@pytest.fixture
def folder(tmp_path):
    let_go()
    (tmp_path / "greys_of_a_test.py").write_text(SOURCE)
    (tmp_path / "w.bin").write_bytes(b"1")
    yield tmp_path
    let_go()
    sys.modules.pop("greys_of_a_test", None)
    sys.path[:] = [place for place in sys.path if place != str(tmp_path)]


def task(folder, output="made", shard=(0, 4), **changes):
    """Return a shard of samples of the user's sampler."""
    call = {"target": "greys_of_a_test:Grey", "folder": str(folder), "options": {},
            "conditioning": "none", "resolution": 4, "files": ["w.bin"], **changes}  # fmt: skip
    call["digest"] = plugin_digest(call["target"], folder, noun="models", files=call["files"])
    params = {**tiny.PARAMS["samples"], "micro_batch": 2}
    (folder / output).mkdir(exist_ok=True)
    return Task(
        kind="samples", key="k", params=params, inputs={}, output=folder / output, scratch=folder,
        local={"call": call}, shard=shard,
    )  # fmt: skip


def test_all_shards_are_made_by_one_instance_hashed_once(folder, monkeypatch):
    hashed, digest = [], plugin.plugin_digest

    def counted(*given, **named):
        hashed.append(given)
        return digest(*given, **named)

    monkeypatch.setattr(plugin, "plugin_digest", counted)

    def images(output, shard):
        samples.run(task(folder, output, shard), lambda share, note: None)
        return (folder / output / "images.npy").read_bytes()

    made = [images("a", (0, 4)), images("b", (4, 8))]
    assert len(hashed) == 1
    assert images("c", (4, 8)) == made[1]  # whatever the instance did before
    let_go()
    assert images("d", (4, 8)) == made[1]
    assert len(hashed) == 2
    assert made[0] != made[1]


def test_what_differs_is_another_instance(folder):
    first = called_of(task(folder))
    assert called_of(task(folder)) is first
    other = called_of(task(folder, options={"level": 3}))
    assert (first.sampler.level, other.sampler.level) == (0, 3)
    (folder / "w.bin").write_bytes(b"2")
    assert called_of(task(folder)) is not first


def test_a_source_that_changed_since_the_plan_is_refused(folder):
    planned = task(folder)
    (folder / "w.bin").write_bytes(b"2")
    with pytest.raises(InputError, match="changed since the run was planned"):
        called_of(planned)
