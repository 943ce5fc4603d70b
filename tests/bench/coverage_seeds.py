"""Checks that intervals over training seeds and sample seeds hold what they promise.

    python tests/bench/coverage_seeds.py [--draws 2000]

Scores are drawn as y[i, j] = training[i] + seed[j] + residual[i, j] + reference, normal, each with
replicates that move as the last three do. For each design (trainings x sample seeds) and ratio of
training to sampling: how often each 95 % interval holds its target, the mean width of `both` in
true standard errors, the interval of the standard deviation between trainings, the mean share.
Then differences of two models: paired by training seed, and of other training seeds.
"""

import argparse

import numpy as np

from ldmbench.records.groups import difference_error
from ldmbench.records.spread import Block, spread_of

DESIGNS = ((2, 1), (3, 1), (5, 1), (10, 1), (3, 2), (5, 2), (5, 5), (1, 3))
TRAINING = (0.0, 1.0, 3.0)
SEED, RESIDUAL, REFERENCE = 0.5, 0.7, 0.5
SAMPLING = np.hypot(SEED, RESIDUAL)
DRAWN = 200


def block(rng, a, b, training, *, stored=True):
    """Return scores, and their parts that are trainings, seeds and the reference."""
    parts = training * rng.normal(size=(a, 1)), SEED * rng.normal(size=(1, b))
    reference = REFERENCE * rng.normal()
    values = parts[0] + parts[1] + RESIDUAL * rng.normal(size=(a, b)) + reference
    errors = np.full((a, b), np.sqrt(SAMPLING**2 + REFERENCE**2))
    names = tuple(map(str, range(a))), tuple(map(str, range(b)))
    stack = values[..., None] + drawn(rng, a, b) if stored else None
    return Block(*names, values, errors, stack), parts, reference


def drawn(rng, a, b, common=None):
    shared = common or (rng.normal(size=(1, b, DRAWN)), rng.normal(size=DRAWN))
    return SEED * shared[0] + RESIDUAL * rng.normal(size=(a, b, DRAWN)) + REFERENCE * shared[1]


def one(rng, draws, a, b, training, stored):
    held = dict.fromkeys(("images", "sampling", "training", "both", "sd"), 0)
    widths, shares = [], []
    for _ in range(draws):
        made, parts, reference = block(rng, a, b, training, stored=stored)
        found = spread_of(made)
        # images: over new draws of images and reference; seeds: the reference stays
        targets = {
            "images": parts[0].mean(),
            "sampling": parts[0].mean() + reference,
            "training": parts[1].mean() + reference,
            "both": 0.0 if stored or b == 1 else reference,
        }
        for name, target in targets.items():
            bar = getattr(found, name)
            held[name] += bar.low is not None and bar.low <= target <= bar.high
        sd = found.sd_training
        held["sd"] += sd.low is not None and sd.low <= training <= sd.high
        widths.append(found.both.value or np.nan)
        shares.append(np.nan if found.share is None else found.share)
    true = np.sqrt(training**2 / a + SEED**2 / b + RESIDUAL**2 / a / b + REFERENCE**2)
    rates = [f"{n / draws:.3f}" if n else "–" for n in held.values()]
    width = np.nanmedian(widths) / 1.96 / true if a > 1 else np.nan
    share = np.nanmean(shares) if a > 1 else np.nan
    store = "yes" if stored else "no"
    print(f"| {a} x {b} | {training:g} | {store} | " + " | ".join(rates)
          + f" | {width:.2f} | {share:.2f} |", flush=True)  # fmt: skip


def two(rng, draws, a, b, training, paired, together):
    """Differences of two models; `together` is what training seeds have in common."""
    held = wide = 0
    for _ in range(draws):
        shared = together * rng.normal(size=(a, 1)) if paired else 0.0
        seeds, reference = SEED * rng.normal(size=(1, b)), REFERENCE * rng.normal()
        moved = rng.normal(size=(1, b, DRAWN)), rng.normal(size=DRAWN)
        sides = []
        for name in ("x", "y"):
            own = np.sqrt(training**2 - together**2) * rng.normal(size=(a, 1))
            values = shared + own + seeds + RESIDUAL * rng.normal(size=(a, b)) + reference
            names = tuple(f"{'' if paired else name}{i}" for i in range(a))
            stack = values[..., None] + drawn(rng, a, b, moved)
            sides.append(Block(names, tuple(map(str, range(b))), values, np.ones((a, b)), stack))
        gap, error, _ = difference_error(*sides)
        half = error.half(0.95)
        held += abs(gap) <= half
        wide += half
    way = "common" if paired else "others"
    print(f"| {a} x {b} | {training:g} | {way}, {together:g} | {held / draws:.3f} |"
          f" {wide / draws:.2f} |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    rng = np.random.default_rng(7)
    print("| design | training sd | replicates | images | sample seeds | training seeds | both"
          " | sd between trainings | median width of both / true | mean share |")  # fmt: skip
    print("|---" * 10 + "|")
    for a, b in DESIGNS:
        for training in TRAINING:
            for stored in (True, False):
                one(rng, draws, a, b, training, stored)
    print("\n| design | training sd | training seeds, in common | coverage | mean half-width |")
    print("|---" * 5 + "|")
    for a, b in DESIGNS[1:-1]:
        for paired, together in ((True, 0.0), (True, 0.8), (False, 0.0)):
            two(rng, draws, a, b, 1.0, paired, together)


if __name__ == "__main__":
    main()
