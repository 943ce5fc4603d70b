"""Contexts of captions on disk: each once in a shard, read by image."""

import numpy as np
import pytest

from ldmbench.data.contexts import ContextShards, distinct, write_contexts
from ldmbench.data.twice import TwiceContexts
from ldmbench.errors import StoreError

CAPTIONS = [["a", "b", "a"], ["", "c", "a"]]
VALUE = {"": 0.0, "a": 1.0, "b": 2.0, "c": 3.0}


@pytest.fixture
def found(tmp_path):
    folders = [tmp_path / str(k) for k in range(2)]
    for folder, captions in zip(folders, CAPTIONS):
        texts, rows = distinct(captions)
        contexts = np.stack([np.full((2, 4), VALUE[text], np.float32) for text in texts])
        write_contexts(folder, contexts, rows)
    return ContextShards(folders, start=0, stop=6, first=0, size=3)


def test_they_are_read_by_image(found):
    every = found.read(np.arange(6))
    assert every.shape == (6, 2, 4)
    assert every[:, 0, 0].tolist() == [VALUE[text] for part in CAPTIONS for text in part]
    assert found.read(np.array([5, 0, 4]))[:, 1, 3].tolist() == [1, 1, 3]
    assert found.null.tolist() == np.zeros((2, 4)).tolist()
    twice = TwiceContexts(found)
    assert np.array_equal(twice.read(np.array([1, 7])), every[[1, 1]])
    assert np.array_equal(twice.null, found.null)


def test_a_row_that_no_context_has_is_damage(found, tmp_path):
    write_contexts(tmp_path / "1", np.zeros((2, 2, 4), np.float32), np.array([0, 2, 1]))
    with pytest.raises(StoreError, match="has 2 contexts, number 2 is needed"):
        found.read(np.arange(6))
