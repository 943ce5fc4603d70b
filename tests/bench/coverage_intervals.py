"""Checks that 95 % intervals hold the mean over fresh draws, for known distributions.

    python tests/bench/coverage_intervals.py [--draws 200] [--case same-500 good-100x64 ...]

For each metric: mean and standard deviation over draws, mean half-width, and how often the
interval holds the mean (90 % to 99 % is asked). Cases nxD are of reconstructions held to their own
images: rfid, the same as if the two sets had nothing in common, and one first stage less another.
"""

import argparse
import time

import numpy as np

from ldmbench.metrics.diversity import vendi_family
from ldmbench.metrics.families import clip_family, logits_family, moments_family, neighbours_family
from ldmbench.metrics.infinity import infinity_family
from ldmbench.metrics.memorize import memorization_family

WIDTH = 64
SCALES = 0.5 + (np.arange(WIDTH) % 7) / 4.0


TRAIN = (np.random.default_rng(3).standard_normal((800, WIDTH)) * SCALES).astype(np.float32)


def same(rng, n, m):
    return rng.standard_normal((n, WIDTH)) * SCALES, rng.standard_normal((m, WIDTH)) * SCALES


def shift(rng, n, m):
    x, y = same(rng, n, m)
    return 1.1 * x + 0.2, y


def relu(rng, n, m):
    x, y = same(rng, n, m)
    return np.maximum(x + 0.2, 0), np.maximum(y, 0)


def mixture(rng, n, m):
    centres = 2.0 * np.random.default_rng(0).standard_normal((8, WIDTH))
    x, y = same(rng, n, m)
    return x + centres[rng.integers(0, 6, n)], y + centres[rng.integers(0, 8, m)]


CASES = {
    f"{f.__name__}-{n}": (f, n, m)
    for f, n, m in ((same, 500, 500), (shift, 500, 600), (relu, 1000, 1000), (mixture, 1000, 800))
}


def good(y, rng):
    return 0.9 * y + 0.1 * rng.standard_normal(y.shape)


def middling(y, rng):
    return y + 0.3 * rng.standard_normal(y.shape)


def poor(y, rng):
    return 0.3 * y + 0.3 * rng.standard_normal(y.shape) + 0.2


PAIRED = {
    f"{f.__name__}-{n}x{d}": (f, n, d)
    for n, d in ((500, 16), (100, 64), (100, 256))
    for f in (good, middling, poor)
}


def intervals(x, y):
    return {name: (s.value, s.low, s.high) for name, s in scores(x, y).items()}


def paired_intervals(x, other, y):
    """Return rfid of x, and of x less other: two first stages on the same images."""
    one, two = (moments_family(side, y, paired=True)["fid"] for side in (x, other))
    apart = moments_family(x, y)["fid"]
    gap, half = one.value - two.value, 1.96 * (one.replicates - two.replicates).std()
    found = {"rfid": one, "rfid, as of sets apart": apart}
    rows = {name: (s.value, s.low, s.high) for name, s in found.items()}
    return rows | {"rfid less another's": (gap, gap - half, gap + half)}


def scores(x, y):
    found = moments_family(x, y) | neighbours_family(x, y)
    found |= logits_family(2.0 * x[:, :20]) | clip_family(x[: len(y)], y[: len(x)])
    return found | infinity_family(x, y) | vendi_family(x) | memorization_family(x, TRAIN, y)


def one_draw(case, rng):
    if case in CASES:
        make, n, m = CASES[case]
        return intervals(*(side.astype(np.float32) for side in make(rng, n, m)))
    make, n, width = PAIRED[case]
    y = rng.standard_normal((n, width))
    sides = make(y, rng), 1.1 * make(y, rng), y
    return paired_intervals(*(side.astype(np.float32) for side in sides))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--case", nargs="*", default=[*CASES, *PAIRED])
    options = parser.parse_args()
    for case in options.case:
        rng = np.random.default_rng(7)
        start, rows = time.perf_counter(), {}
        for _ in range(options.draws):
            for name, interval in one_draw(case, rng).items():
                rows.setdefault(name, []).append(interval)
        took = time.perf_counter() - start
        _, n, m = (CASES | PAIRED)[case]
        sizes = f"n = m = {n}, D = {m}" if case in PAIRED else f"n = {n}, m = {m}, D = {WIDTH}"
        print(f"\n{case}: {sizes}, {options.draws} draws, {took:.0f} s\n")
        print("| metric | mean | sd over draws | mean half-width / 1.96 | coverage |")
        print("|---|---|---|---|---|")
        for name, values in rows.items():
            value, low, high = np.array(values).T
            held = ((low <= value.mean()) & (value.mean() <= high)).mean()
            half = ((high - low) / 2 / 1.96).mean()
            print(f"| {name} | {value.mean():.5g} | {value.std():.3g} | {half:.3g} | {held:.3f} |")


if __name__ == "__main__":
    main()
