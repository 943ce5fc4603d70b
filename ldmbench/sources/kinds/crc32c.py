"""CRC-32C (Castagnoli, RFC 3720) by numpy, which checks the records of TFRecord files."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["crc32c", "masked"]

Words = npt.NDArray[np.uint32]
_POLYNOMIAL = 0x82F63B78  # reflected
_LANES = 4096
"""Parts of equal length whose sums are formed side by side; a power of two."""


@lru_cache(maxsize=1)
def _table() -> Words:
    """Return what each byte adds, uint32 (256,)."""
    found = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        found = np.where(found & 1, (found >> 1) ^ np.uint32(_POLYNOMIAL), found >> 1)
    return found.astype(np.uint32)


@lru_cache(maxsize=1)
def _bytewise() -> tuple[int, ...]:
    return tuple(_table().tolist())


def _past(states: Words, data: Words) -> Words:
    """Return states after one byte of each lane."""
    found: Words = _table()[(states ^ data) & 0xFF] ^ (states >> np.uint32(8))
    return found


@lru_cache(maxsize=64)
def _zeros(count: int) -> Words:
    """Return what `count` zero bytes make of each byte of a state, uint32 (4, 256)."""
    states = np.arange(256, dtype=np.uint32)[None] << (8 * np.arange(4, dtype=np.uint32))[:, None]
    nothing = np.zeros_like(states)
    for _ in range(count):
        states = _past(states, nothing)
    return states


def _shifted(states: Words, by: Words) -> Words:
    """Return states after zero bytes, of which `_zeros` made the table."""
    parts = [by[k][(states >> np.uint32(8 * k)) & 0xFF] for k in range(4)]
    found: Words = parts[0] ^ parts[1] ^ parts[2] ^ parts[3]
    return found


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes.

    Examples:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    if len(data) < 4 * _LANES:
        return _slowly(data)
    length = -(-len(data) // _LANES)
    # The sum begins with ones: these turn the first four bytes, and zeros before them add nothing.
    held = np.zeros(_LANES * length, np.uint8)
    held[-len(data) :] = np.frombuffer(data, np.uint8)
    start = len(held) - len(data)
    held[start : start + 4] ^= 0xFF
    columns = np.ascontiguousarray(held.reshape(_LANES, length).T).astype(np.uint32)
    states = np.zeros(_LANES, np.uint32)
    for column in columns:
        states = _past(states, column)
    by = _zeros(length)
    while len(states) > 1:
        states = _shifted(states[::2], by) ^ states[1::2]
        by = _shifted(by, by)
    return int(states[0]) ^ 0xFFFFFFFF


def _slowly(data: bytes) -> int:
    state, table = 0xFFFFFFFF, _bytewise()
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Return a sum as TFRecord files keep it: turned by 15 bits, and a constant added."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
