"""Checks that 95 % intervals hold the mean over fresh draws, for known distributions.

    python tests/bench/coverage_intervals.py [--draws 200] [--case same-500 ...]

For each metric: mean and standard deviation over draws, mean half-width, and how often the
interval holds the mean (90 % to 99 % is asked).
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


def scores(x, y):
    found = moments_family(x, y) | neighbours_family(x, y)
    found |= logits_family(2.0 * x[:, :20]) | clip_family(x[: len(y)], y[: len(x)])
    return found | infinity_family(x, y) | vendi_family(x) | memorization_family(x, TRAIN, y)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--case", nargs="*", default=list(CASES))
    options = parser.parse_args()
    for case in options.case:
        make, n, m = CASES[case]
        rng = np.random.default_rng(7)
        start, rows = time.perf_counter(), {}
        for _ in range(options.draws):
            x, y = (side.astype(np.float32) for side in make(rng, n, m))
            for name, score in scores(x, y).items():
                rows.setdefault(name, []).append((score.value, score.low, score.high))
        took = time.perf_counter() - start
        print(f"\n{case}: n = {n}, m = {m}, D = {WIDTH}, {options.draws} draws, {took:.0f} s\n")
        print("| metric | mean | sd over draws | mean half-width / 1.96 | coverage |")
        print("|---|---|---|---|---|")
        for name, values in rows.items():
            value, low, high = np.array(values).T
            held = ((low <= value.mean()) & (value.mean() <= high)).mean()
            half = ((high - low) / 2 / 1.96).mean()
            print(f"| {name} | {value.mean():.5g} | {value.std():.3g} | {half:.3g} | {held:.3f} |")


if __name__ == "__main__":
    main()
