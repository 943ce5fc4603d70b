"""The speed stage: what it counts is one model's, whatever else the worker has done."""

import re
import weakref
from pathlib import Path

import pytest

from ldmbench.models.autoencoder import build_first_stage
from ldmbench.schema.models import AutoencoderParams
from ldmbench.schema.task import Task
from ldmbench.stages import speed
from ldmbench.stages.common import autoencoder_at

STAGES = Path(speed.__file__).parent


class FoundError(Exception):
    """The stage got as far as it should."""


def test_no_other_model_is_left_when_one_is_measured(tmp_path, monkeypatch):
    build_first_stage(AutoencoderParams(f=1), seed=0).save(tmp_path)
    other = weakref.ref(autoencoder_at(tmp_path, "cpu"))
    assert other() is autoencoder_at(tmp_path, "cpu")

    def subject_of(task):
        assert other() is None
        raise FoundError

    monkeypatch.setattr(speed, "subject_of", subject_of)
    task = Task(kind="speed", key="k", params={}, inputs={}, output=tmp_path, scratch=tmp_path)
    with pytest.raises(FoundError):
        speed.run(task, lambda share, note: None)


def test_what_outlives_a_task_is_what_speed_lets_go_of():
    cached = [path.name for path in STAGES.glob("*.py") if "lru_cache" in path.read_text()]
    assert cached == ["common.py"]
    assert len(re.findall(r"lru_cache\(", (STAGES / "common.py").read_text())) == 1
