"""Kill a suite at random moments with SIGKILL, run it again, compare with an undisturbed run.

    python tests/end_to_end/kill_campaign.py suites/smoke.yaml --kills 20 --longest 25

Kills are counted only when they hit a running process. Prints a line per try and, at the end,
whether all scores and all artefacts agree field by field.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ldmbench.records.runs import Runs

TYPED = (sys.executable, "-m", "ldmbench")


def finish(suite, store):
    """Run to the end; return the scores of every cell."""
    subprocess.run([*TYPED, "run", str(suite), "--store", str(store)], check=True)
    return scores(store)


def scores(store):
    """Return the scores of every cell of the last run."""
    all_runs = Runs(Path(store))
    return {
        record.cell.id: [score.model_dump() for score in record.scores]
        for record in all_runs.records(all_runs.find().id)
    }


def kill_once(suite, store, *, after, door=TYPED):
    """Start a run and kill it; return whether it was still running."""
    command = [*door, "run", str(suite), "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def digests(store):
    """What every artefact holds, speed and its times left out."""
    found = {}
    for path in sorted(Path(store).glob("*/**/manifest.json")):
        manifest = json.loads(path.read_text())
        if manifest["kind"] != "speed" and "damaged" not in path.parts:
            found[path.relative_to(store).as_posix()] = manifest["digest"]
    return found


def campaign(suite, folder, *, kills, shortest, longest, seed, finish=finish, door=TYPED):
    """Kill running processes `kills` times; return the problems found.

    A store in which a run came to its end is compared, and the next kill begins a new one. `finish`
    runs to the end, `door` is the command that is killed.
    """
    undisturbed = finish(suite, folder / "lap-0")
    expected = digests(folder / "lap-0")
    moments = random.Random(seed)
    problems, hits, lap = [], 0, 1
    while hits < kills:
        after = moments.uniform(shortest, longest)
        store = folder / f"lap-{lap}"
        hit = kill_once(suite, store, after=after, door=door)
        hits += hit
        done = f"{len(digests(store))} of {len(expected)} artefacts"
        print(
            f"lap {lap}: after {after:5.2f} s, {done}, {f'kill {hits}' if hit else 'ended before'}"
        )
        if not hit or hits == kills:
            problems += differences(undisturbed, finish(suite, store))
            problems += differences(expected, digests(store))
            lap += 1
    print(
        f"{hits} kills in {lap - 1} laps; {len(undisturbed)} cells, {len(expected)} artefacts each"
    )
    print("all agree" if not problems else f"DIFFERENT: {problems}")
    return problems


def differences(expected, found):
    """The names whose values differ."""
    return [name for name in expected if expected[name] != found.get(name)]


def main():
    """Read the options and run a campaign in a temporary folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--shortest", type=float, default=1.0)
    parser.add_argument("--longest", type=float, default=25.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["LDMBENCH_MLFLOW"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        problems = campaign(
            options.suite, Path(folder), kills=options.kills, shortest=options.shortest,
            longest=options.longest, seed=options.seed,
        )  # fmt: skip
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
