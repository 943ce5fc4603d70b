"""Random numbers without state: a hash of (seed, index, purpose), the same on every machine.

SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", Figure 12):
number k of stream `key` is mix(key + (k + 1) * GAMMA), in uint64 arithmetic modulo 2^64.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ldmbench.data.batch import Ints, Pixels
from ldmbench.seeds import derive_seed

__all__ = ["Keys", "draw", "draw_below", "noise_bytes", "permutation", "stream_keys"]

Keys: TypeAlias = npt.NDArray[np.uint64]

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def stream_keys(purpose: str, seed: int, indices: Ints) -> Keys:
    """Return the stream key of each index, uint64 of the shape of `indices`."""
    base = np.uint64(derive_seed(purpose, seed))
    return _mix(_mix(indices.astype(np.uint64)) + base)


def draw(keys: Keys, counter: int) -> Keys:
    """Return number `counter` of each stream, uint64."""
    return _mix(keys + np.uint64((counter + 1) * int(GAMMA) % (1 << 64)))


def draw_below(keys: Keys, counter: int, bound: int | Ints) -> Ints:
    """Return int64 numbers in [0, bound), `bound` at most 2^31, from the upper half of a draw."""
    upper = (draw(keys, counter) >> np.uint64(32)).astype(np.int64)
    return (upper * bound) >> 32


def noise_bytes(keys: Keys, count: int) -> Pixels:
    """Return uint8 (N, count) of each stream's bytes, the lowest byte of a number first."""
    steps = np.arange(1, -(-count // 8) + 1, dtype=np.uint64) * GAMMA
    numbers = _mix(keys[:, None] + steps)
    return numbers.astype("<u8", copy=False).view(np.uint8)[:, :count]


def permutation(seed: int, count: int) -> Ints:
    """Return int64 (count,), the numbers 0 to count - 1 in the order of their draws."""
    draws = _mix(np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * GAMMA)
    return np.argsort(draws, kind="stable").astype(np.int64)


def _mix(state: Keys) -> Keys:
    """Hash uint64 -> uint64 in place and return it; the finaliser of SplitMix64."""
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state
