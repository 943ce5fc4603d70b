"""Times our metrics against torch-fidelity, clean-fid and prdc on the same features, in one run.

    python tests/bench/bench_metrics.py [--only fid,neighbours,short,interval,large] [--reps 3]
                                        [-n 10000] [--large 50000] [-d 2048] [--no-slow]

Each contender runs in a fresh process, contenders take turns, and the whole turn is repeated:
least and median wall seconds of the call (imports and features are made before it), least CPU
seconds, memory beyond the features, peak of the process. Then the ratios that issue 4 asks for.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np


def features(seed, n, d):
    rng = np.random.default_rng(seed)
    out = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, 4096):
        x = rng.standard_normal((min(4096, n - start), d), dtype=np.float32)
        x[:, 1:] += 0.5 * x[:, :-1]
        out[start : start + len(x)] = np.maximum(x + 0.02 * (seed == 0), 0) * 0.4
    return out


def ours_fid(x, y):
    from ldmbench.metrics import frechet_distance

    return lambda: frechet_distance(x, y)


def ours_fid_cached(x, y):
    from ldmbench.metrics import frechet_distance, moments

    known = moments(y)
    return lambda: frechet_distance(x, known)


def ours_fid_interval(x, y):
    from ldmbench.metrics.families import moments_family

    def call():
        s = moments_family(x, y)["fid"]
        return s.value, s.low, s.high

    return call


def fidelity_fid(x, y):
    import torch
    from torch_fidelity import metric_fid as m

    a, b = torch.from_numpy(x), torch.from_numpy(y)
    stats = m.fid_features_to_statistics
    return lambda: m.fid_statistics_to_metric(stats(a), stats(b), False)[m.KEY_METRIC_FID]


def exact_fid(x, y):
    """Return the float64 value of short sets: the nuclear norm of the centred cross-Gram."""

    def call():
        a, b = (s.astype(np.float64) for s in (x, y))
        delta = a.mean(0) - b.mean(0)
        a, b = ((s - s.mean(0)) / np.sqrt(len(s) - 1) for s in (a, b))
        root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
        return float(delta @ delta + (a * a).sum() + (b * b).sum() - 2 * root)

    return call


def cleanfid_fid(x, y):
    from cleanfid import fid

    return lambda: float(fid.fid_from_feats(x, y))


def ours_all(x, y):
    from ldmbench.metrics.families import neighbours_family

    def call():
        found = neighbours_family(x, y)
        return {k: round(v.value, 7) for k, v in found.items()}

    return call


def ours_kid(x, y):
    from ldmbench.metrics import kernel_distance

    return lambda: kernel_distance(x, y, subset_size=min(1000, len(x))).mean


def ours_pr(x, y):
    from ldmbench.metrics import precision_recall

    return lambda: str(precision_recall(x, y))


def fidelity_kid(x, y):
    import torch
    from torch_fidelity import metric_kid as m

    a, b = torch.from_numpy(x), torch.from_numpy(y)
    size = min(1000, len(x))
    return lambda: m.kid_features_to_metric(a, b, kid_subset_size=size, verbose=False)[
        m.KEY_METRIC_KID_MEAN
    ]


def fidelity_pr(x, y):
    import torch
    from torch_fidelity import metric_prc as m

    a, b = torch.from_numpy(x), torch.from_numpy(y)
    return lambda: m.prc_features_to_metric(a, b, verbose=False, save_cpu_ram=False)


def prdc_all(x, y):
    from prdc import compute_prdc

    return lambda: compute_prdc(real_features=y, fake_features=x, nearest_k=5)


def products(x, y):
    """Time the bare float32 products of the three blocks, symmetric halves once."""
    size = 1024
    cuts = range(0, len(x), size)

    def call():
        for a, b in ((x, x), (y, y), (x, y)):
            for i in cuts:
                left = a[i : i + size]
                for j in cuts:
                    if a is b and j < i:
                        continue
                    left @ b[j : j + size].T

    return call


CASES = {
    "fid": [fidelity_fid, ours_fid, ours_fid_cached, cleanfid_fid],
    "neighbours": [products, ours_all, ours_kid, ours_pr, fidelity_kid, fidelity_pr, prdc_all],
    "short": [fidelity_fid, ours_fid, exact_fid],
    "interval": [ours_fid_interval],
    "large": [ours_fid_interval, ours_all],
}
SLOW = {cleanfid_fid, prdc_all}


def one(name, n, d):
    contender = globals()[name]
    warnings.simplefilter("ignore")
    x, y = features(0, n, d), features(1, n, d)
    call = contender(x, y)
    x[:256] @ y[:256].T  # wake the threads
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    value = call()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    extra = (after.ru_maxrss - before.ru_maxrss) / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "extra": extra, "peak": after.ru_maxrss / 1024,
                      "value": value}, default=str))  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=10000)
    parser.add_argument("-d", type=int, default=2048)
    parser.add_argument("--large", type=int, default=50000)
    parser.add_argument("--only", default="fid,neighbours,short")
    parser.add_argument("--reps", type=int, default=1)
    parser.add_argument("--no-slow", action="store_true")
    parser.add_argument("--one")
    options = parser.parse_args()
    if options.one:
        one(options.one, options.n, options.d)
        return
    sizes = {"large": options.large, "short": min(2000, options.n, options.d - 48)}
    for group in options.only.split(","):
        n = sizes.get(group, options.n)
        cases = [c for c in CASES[group] if not (options.no_slow and c in SLOW)]
        print(f"{group}, N = M = {n}, D = {options.d}, {options.reps} turns", flush=True)
        found = turns(cases, n, options)
        for name, rows in found.items():
            show(name, rows)
        ratios(found)


def turns(cases, n, options):
    """Run each contender once per turn, each time in a fresh process."""
    found = {}
    for _ in range(options.reps):
        for case in cases:
            command = [sys.executable, __file__, "--one", case.__name__,
                       "-n", str(n), "-d", str(options.d)]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"  {case.__name__:18s} failed: {done.stderr.strip().splitlines()[-1]}")
                continue
            found.setdefault(case.__name__, []).append(json.loads(done.stdout.splitlines()[-1]))
    return found


def show(name, rows):
    wall, cpu = [row["wall"] for row in rows], min(row["cpu"] for row in rows)
    extra, peak = (max(row[key] for row in rows) for key in ("extra", "peak"))
    print(
        f"  {name:18s} {min(wall):7.2f} s  median {statistics.median(wall):7.2f} s  "
        f"cpu {cpu:7.2f} s  extra {extra:6.0f} MB  peak {peak:6.0f} MB  {rows[0]['value']}",
        flush=True,
    )


RATIOS = (
    (("fidelity_fid",), ("ours_fid",), "FID, torch-fidelity / ours (1.6)"),
    (("fidelity_fid",), ("ours_fid_cached",), "FID, the same, reference cached (2.5)"),
    (("cleanfid_fid",), ("ours_fid",), "FID, clean-fid (sqrtm) / ours (3.5)"),
    (("ours_all",), ("products",), "all five with intervals / bare products (at most 1.5)"),
    (("fidelity_kid", "fidelity_pr"), ("ours_all",), "torch-fidelity KID + PR / ours (2)"),
    (("fidelity_kid", "fidelity_pr", "prdc_all"), ("ours_all",), "the same with prdc / ours (5)"),
)


def ratios(found):
    ways = (("wall", min), ("wall", statistics.median), ("cpu", min))
    for over, under, text in RATIOS:
        if not all(name in found for name in over + under):
            continue
        made = []
        for key, way in ways:
            above, below = (
                sum(way([row[key] for row in found[name]]) for name in names)
                for names in (over, under)
            )
            made.append(f"{above / below:.2f}")
        print(f"    {text}: least {made[0]}, median {made[1]}, cpu {made[2]}")


if __name__ == "__main__":
    main()
