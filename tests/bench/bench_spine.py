"""What the spine costs: wall time outside the stage bodies, and plan + look-up + commit per stage.

    python tests/bench/bench_spine.py suites/smoke.yaml [--set PATH=VALUE]...

Runs the suite once in a fresh store and prints the account: `body` is what workers spend inside
stages/, measured there; `start` is interpreter start and imports of the workers (excluded, shown);
the rest of the wall time is the spine's. The ratio is spine / (wall - start).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ldmbench.records.runs import Runs


def main():
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("suite")
    parser.add_argument("--set", dest="sets", action="append", default=[])
    options = parser.parse_args()
    os.environ["LDMBENCH_MLFLOW"] = "0"
    with tempfile.TemporaryDirectory() as store:
        sets = [part for change in options.sets for part in ("--set", change)]
        command = [sys.executable, "-m", "ldmbench", "run", options.suite, "--store", store, *sets]
        began = time.perf_counter()
        done = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
        wall = time.perf_counter() - began
        run = Runs(Path(store)).find(json.loads(done.stdout)["run"])
        began = time.perf_counter()
        subprocess.run([*command, "--json"], check=True, capture_output=True)
        again = time.perf_counter() - began
    spans = run.spans
    spine = spans["all"] - spans["body"] - spans["start"]
    print(f"wall, whole process          {wall:8.2f} s")
    print(f"execution                    {spans['all']:8.2f} s")
    print(f"  stage bodies               {spans['body']:8.2f} s")
    print(f"  worker start and imports   {spans['start']:8.2f} s (excluded)")
    print(f"  spine                      {spine:8.2f} s for {run.executed} units")
    print(f"spine / (execution - start)  {100 * spine / (spans['all'] - spans['start']):8.2f} %")
    print(f"spine per unit               {1000 * spine / max(run.executed, 1):8.1f} ms")
    print(f"the same run again           {again:8.2f} s")


if __name__ == "__main__":
    main()
