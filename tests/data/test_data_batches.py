"""The order of training steps."""

import time

import numpy as np
import pytest

from ldmbench.data.batches import BatchOrder, batch_indices
from ldmbench.errors import InputError


@pytest.mark.parametrize(("count", "size"), [(10, 4), (10, 10), (10, 25), (7, 3), (1, 5)])
def test_every_epoch_is_a_permutation(count, size):
    steps = -(-count * 6 // size)
    order = BatchOrder(count, batch_size=size, seed=3)
    stream = np.concatenate([order.at(s) for s in range(steps)])
    epochs = stream[: count * (len(stream) // count)].reshape(-1, count)
    assert (np.sort(epochs, axis=1) == np.arange(count)).all()
    if count > 5:
        assert len({tuple(e) for e in epochs}) == len(epochs)


def test_any_step_without_the_ones_before():
    order = BatchOrder(101, batch_size=16, seed=5)
    for step in (0, 1, 6, 7, 500, 3):
        expected = batch_indices(101, batch_size=16, seed=5, step=step)
        assert np.array_equal(order.at(step), expected)
        assert (expected.shape, expected.dtype) == ((16,), np.int64)


def test_seeds_give_other_orders():
    a, b = (batch_indices(1000, batch_size=100, seed=s, step=0) for s in (0, 1))
    assert len(set(a) & set(b)) < 40


def test_the_order_is_the_same_everywhere():
    found = batch_indices(100, batch_size=8, seed=0, step=20)
    assert found.tolist() == [
        0,
        33,
        84,
        21,
        83,
        7,
        1,
        15,
    ]


def test_orders_are_not_biased():
    """Position of image 0 over many epochs: uniform by chi-square, 9 degrees, p > 1e-4."""
    at = [int(np.argmin(batch_indices(10, batch_size=10, seed=1, step=e))) for e in range(2000)]
    chi = ((np.bincount(at, minlength=10) - 200) ** 2 / 200).sum()
    assert chi < 33.7


def test_bad_numbers():
    for arguments in ({"count": 0, "batch_size": 4}, {"count": 4, "batch_size": 0}):
        with pytest.raises(InputError, match="1 or more"):
            BatchOrder(**arguments, seed=0)
    with pytest.raises(InputError, match="steps start at 0"):
        batch_indices(4, batch_size=2, seed=0, step=-1)


def test_many_steps_of_many_images_are_cheap():
    order = BatchOrder(50_000, batch_size=64, seed=0)
    clock = time.process_time()
    for step in range(1000):
        order.at(step)
    assert time.process_time() - clock < 0.5
