"""What the tests of loading share: one thread, and how far two tensors are apart."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Compute on one thread, and leave threads and random numbers as they were."""
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)


def apart(ours, theirs):
    """Return the largest difference, as a share of the largest value."""
    theirs = torch.as_tensor(theirs)
    assert tuple(ours.shape) == tuple(theirs.shape)
    return float((torch.as_tensor(ours) - theirs).abs().max() / theirs.abs().max())
