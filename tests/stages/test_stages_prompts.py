"""Data that only a worker sees: captions and classes that are not there fail their cell."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from ldmbench.errors import InputError
from ldmbench.schema.local import Local
from ldmbench.schema.task import TaskInput
from ldmbench.stages.denoiser import _check_conditions
from ldmbench.stages.samples import Conditions


class Images:
    """Images that are nothing but told."""

    def __init__(self, captions, labels):
        self.texts, self.classes = captions, np.array(labels)

    def __len__(self):
        return len(self.texts)

    def captions(self, indices):
        return tuple(self.texts[i] for i in indices)

    def labels(self, indices):
        return self.classes[indices]


def test_training_needs_captions_and_several_classes():
    nothing, all_there = Images(["", ""], [3, 3]), Images(["", "a star"], [0, 3])
    for conditioning, found in (("caption", "none of 2 training"), ("class", "all 2 training")):
        with pytest.raises(InputError, match=found):
            _check_conditions(nothing, conditioning)
        _check_conditions(all_there, conditioning)
    _check_conditions(nothing, "none")


def test_no_sample_is_prompted_by_an_empty_caption(tmp_path):
    (tmp_path / "captions.json").write_text(json.dumps(["a star", ""]))
    np.save(tmp_path / "labels.npy", np.zeros(2, np.int64))
    found = TaskInput(folders=(tmp_path,), stop=2, shard=2)
    task = SimpleNamespace(
        shard=(0, 2), inputs={"conditions": found}, local=Local(conditioning="class")
    )
    assert Conditions(task, None).captions() == ["a star", ""]
    task.local = Local(conditioning="caption")
    with pytest.raises(InputError, match="give 1 of 2 samples no caption"):
        Conditions(task, None)
