"""Feature sets of metrics_today.json: numpy's PCG64 and elementwise arithmetic, so bits reproduce.

pair(name) returns (generated, reference), float32 (N, D); sha256 of their bytes are in the file.
"""

import numpy as np


def _g(seed):
    return np.random.Generator(np.random.PCG64(seed))


def gauss(seed, n, d, shift=0.0, scale=1.0):
    x = _g(seed).standard_normal((n, d)) * (0.5 + (np.arange(d) % 7) / 4.0)
    x[:, 1:] = x[:, 1:] + 0.5 * x[:, :-1]
    return (x * scale + shift).astype(np.float32)


def relu(seed, n, d, bias=0.0, gain=0.4):
    """Return features like Inception's pool: none negative, many zero."""
    x = _g(seed).standard_normal((n, d))
    y = x.copy()
    y[:, 1:] = y[:, 1:] + 0.5 * x[:, :-1]
    return (np.maximum(y + bias, 0) * gain).astype(np.float32)


def unit(seed, n, d, tilt=0.0):
    """Return rows of length 1, as CLIP's; sums by accumulate, whose order does not vary."""
    x = _g(seed).standard_normal((n, d))
    x[:, 0] = x[:, 0] + 10.0 + tilt
    x[:, 1] = x[:, 1] + tilt
    norm = np.sqrt(np.add.accumulate(x * x, axis=1)[:, -1:])
    return (x / norm).astype(np.float32)


PAIRS = {
    "s64_shift": (gauss, (501, 600, 64, 0.3), (502, 600, 64)),
    "s64_uneven": (gauss, (503, 700, 64, 0.1), (504, 450, 64)),
    "s768_unit": (unit, (505, 400, 768, 0.6), (506, 500, 768)),
    "s2048_relu": (relu, (507, 300, 2048, 0.1), (508, 350, 2048)),
}


def pair(name):
    make, *sides = PAIRS[name]
    return tuple(make(*side) for side in sides)
