"""CONTRIBUTING.md, "Add a metric": the three edits, applied to a copy of the source, are enough."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
SECTION = re.search(
    r"## Add a metric\n(.*?)\n## ", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.S
).group(1)
NAME = "nearest_distance"
SUITE = f"""
suite: worked
data: {{shapes: {{kind: shapes, resolution: 32, train: 64, reference: 64}}}}
models: {{ldm: {{autoencoder: {{f: 4}}, budget: {{steps: 5}}}}}}
sample: {{steps: 5, count: 8}}
metrics: [fid, {NAME}]
"""
COMMANDS = """
import contextlib, io, json, sys
from ldmbench.catalog.metrics import SCORABLE
from ldmbench.cli import outcome
from ldmbench.schema import json_schema
import test_metrics_rows as rows

rows.test_a_row_gives_its_golden_number(SCORABLE[sys.argv[1]])
told = {"schema": [0, json_schema.text()]}
for name, *arguments in json.loads(sys.argv[2]):
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        code = outcome(arguments)
    told[name] = [code, shown.getvalue()]
print(json.dumps(told))
"""


def edits():
    """Return (file, text) of the three blocks, as the section names them."""
    blocks = re.findall(r"\*\*\d\. .*?`([\w/]+\.\w+)`[^\n]*\n\n```\w+\n(.*?)```", SECTION, re.S)
    (function, row, number), names = blocks, re.findall(r"`_ROWS` in `([\w/.]+)`", SECTION)
    return function, (names[0], row[1]), (number[0], json.loads(number[1]))


def edited(root):
    """Return a copy of the source with the edits."""
    shutil.copytree(  # with its bytecode, but for what is being written
        ROOT / "ldmbench", root / "ldmbench", ignore=shutil.ignore_patterns("*.pyc.*")
    )
    (root / "tests").mkdir()
    shutil.copytree(ROOT / "tests" / "golden", root / "tests" / "golden")
    (root / "tests" / "metrics").mkdir()
    shutil.copy(ROOT / "tests" / "metrics" / "test_metrics_rows.py", root / "tests" / "metrics")
    (function, code), (table, row), (golden, number) = edits()
    assert not (root / function).exists()
    (root / function).write_text(code)
    text = (root / table).read_text()
    assert text.count("\n)\n# fmt: on") == 1
    (root / table).write_text(text.replace("\n)\n# fmt: on", f"\n{row})\n# fmt: on"))
    numbers = json.loads((root / golden).read_text())
    (root / golden).write_text(json.dumps(numbers | number))
    return root


def features(path, shift):
    """Write features of 60 images."""
    path.parent.mkdir(exist_ok=True)
    rows = np.random.RandomState(3).randn(60, 6).astype(np.float32) + np.float32(shift)
    np.savez(path, features=rows)
    return str(path)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Return command -> [exit code, what it prints], all run by the copy in one process."""
    folder = tmp_path_factory.mktemp("worked")
    source = edited(tmp_path_factory.mktemp("source"))
    (folder / "suite.yaml").write_text(SUITE)
    real, base = features(folder / "real.npz", 0.0), str(folder / "base.json")
    good, bad = str(folder / "good.json"), str(folder / "bad.json")
    asked = ["--reference", real, "--metrics", NAME, "--json", "-o"]
    commands = [
        ["list", "list", "metrics"],
        ["plan", "plan", str(folder / "suite.yaml"), "--json"],
        ["score", "score", features(folder / "a" / "x.npz", 0.1), *asked, good],
        ["worse", "score", features(folder / "b" / "x.npz", 3.0), *asked, bad],
        ["report", "report", good, "--format", "markdown"],
        ["accept", "accept", good, "-o", base],
        ["pass", "gate", good, "--baseline", base],
        ["fail", "gate", bad, "--baseline", base],
    ]
    told = subprocess.run(
        [sys.executable, "-c", COMMANDS, NAME, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
        cwd=source,
        env={
            **os.environ,
            "LDMBENCH_STORE": str(folder / "store"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONPATH": os.pathsep.join(map(str, (source, source / "tests" / "metrics"))),
        },
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


def test_the_metric_is_listed_and_in_the_schema(shown):
    assert NAME in shown["list"][1]
    assert f'"{NAME}"' in shown["schema"][1]


def test_the_metric_is_valid_in_a_suite_and_planned(shown):
    stages = {row["kind"]: row for row in json.loads(shown["plan"][1])["stages"]}
    assert stages["scores"]["missing"] == 2  # a family each


def test_the_metric_is_scored_with_an_interval_and_signed(shown):
    (score,) = json.loads(shown["score"][1])["scores"]
    assert score["name"] == NAME
    assert score["low"] < score["value"] < score["high"]
    assert score["signature"].startswith(f"{NAME}|v1|feat:")


def test_the_metric_is_in_the_report(shown):
    assert "Nearest distance" in shown["report"][1]


def test_the_metric_is_gated(shown):
    assert [shown[name][0] for name in ("accept", "pass", "fail")] == [0, 0, 1]
    assert NAME in shown["fail"][1]
