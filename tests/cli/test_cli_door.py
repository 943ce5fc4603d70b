"""The door: help with examples, exit codes, one sentence for every mistake, no traceback."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import tiny

from ldmbench.cli import COMMANDS, door, outcome
from ldmbench.registry import nearest


def typed(*arguments, **environment):
    """Type a command in a fresh process."""
    return subprocess.run(
        [sys.executable, "-m", "ldmbench", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert outcome([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage: ldmbench" in text
    assert "--json" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command):
    pages = [Path("README.md"), *Path("docs").rglob("*.md")]
    assert any(f"ldmbench {command}" in page.read_text() for page in pages)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "no command 'rnu' (did you mean 'run'?)"),
        (["run"], "Missing argument 'SUITE'"),
        (["run", "nothing.yaml"], "no such suite file"),
        (["run", "suites/smoke.yaml", "--only", "nothing"], "matches no cell; there are:"),
        (["run", "suites/smoke.yaml", "--set", "sample.stps=4"], "did you mean 'steps'?"),
        (["plan", "suites/smoke.yaml", "--set", "x"], "write PATH=VALUE"),
        (["report", "nothing"], "no run in"),
        (["status"], "begin with `ldmbench run"),
        (["list", "nonsense"], "is not one of"),
        (["report", "--format", "pdf"], "is not one of"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(arguments, message, capsys):
    assert outcome(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_an_unknown_run_names_the_nearest(tmp_path, capsys):
    from ldmbench.records.runs import Runs
    from ldmbench.schema.record import Run

    all_runs = Runs(tmp_path)
    for name in ("smoke-20260101T000000Z-aaaa", "smoke-20260102T000000Z-bbbb"):
        all_runs.write_run(Run(id=name, suite="smoke", suite_digest="", state="done", started=name))
    assert outcome(["report", "smoke-20260102T000000Z-bbbc", "--store", str(tmp_path)]) == 2
    assert "(did you mean 'smoke-20260102T000000Z-bbbb'?)" in capsys.readouterr().err
    assert outcome(["report", "smoke", "--store", str(tmp_path)]) == 2
    assert "begins 2 runs" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["models", "datasets", "presets", "metrics", "protocols"])
def test_list(what, capsys):
    assert outcome(["list", what, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_list_suites_shows_their_questions(capsys):
    assert outcome(["list", "suites"]) == 0
    assert "Does every stage work, from data to report?" in capsys.readouterr().out


def test_doctor_says_what_to_type_next(capsys):
    assert outcome(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "next    ldmbench run smoke" in shown
    assert re.search(r"ok\s+torch\s+\d", shown)


@pytest.mark.parametrize("kept", [True, False])
def test_doctor_says_what_it_costs_that_python_keeps_no_compiled_modules(kept, capsys, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", not kept)
    assert outcome(["doctor"]) == 0
    assert ("PYTHONDONTWRITEBYTECODE" in capsys.readouterr().out) is not kept


def test_plan_as_json(tmp_path, capsys):
    assert outcome(["plan", str(tiny.write_suite(tmp_path)), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cells"] == ["pixel/shapes/ddim-2/g1/s0", "pixel/shapes/ddim-3/g1/s0"]
    assert all(row["present"] == 0 for row in told["stages"])
    assert told["device_hours"] > 0


def test_plan_explains_why(tmp_path, capsys):
    assert outcome(["plan", str(tiny.write_suite(tmp_path)), "--explain"]) == 0
    told = capsys.readouterr().out
    cause, _, stages = told.partition("the store has no stage of this kind\n")
    assert stages, cause
    assert re.search(r"^  denoiser pixel \(\w{8}\): 1 unit to run$", stages, re.MULTILINE)


def test_results_go_to_stdout_and_plain_text_has_no_colour(tmp_path):
    done = typed("plan", str(tiny.write_suite(tmp_path)))
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert all(line.startswith("warning: n = ") for line in done.stderr.splitlines())


@pytest.mark.parametrize("command", ["run", "score"])
def test_a_store_that_cannot_be_made_is_the_users_error(tmp_path, capsys, command):
    (tmp_path / "file").write_text("")
    np.savez(tmp_path / "a.npz", features=np.random.default_rng(0).normal(size=(9, 2)))
    asked = {
        "run": [str(tiny.write_suite(tmp_path))],
        "score": [str(tmp_path / "a.npz"), "--reference", str(tmp_path / "a.npz")],
    }
    store = tmp_path / "file" / "s"
    assert outcome([command, *asked[command], "--store", str(store)]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"error: {store}: no store can be kept there (Not a directory); choose another folder with"
        " --store DIR\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("place", ["file/x.jsonl", "x" * 300])
def test_a_file_that_cannot_be_written_is_the_users_error(tmp_path, capsys, place):
    (tmp_path / "file").write_text("")
    np.savez(tmp_path / "a.npz", features=np.random.default_rng(0).normal(size=(9, 2)))
    record, out = tmp_path / "record.jsonl", tmp_path / place
    features = str(tmp_path / "a.npz")
    score = ["score", features, "--reference", features, "--metrics", "fid", "-o"]
    assert outcome([*score, str(record)]) == 0
    for words in (score, ["report", str(record), "--format", "csv", "-o"]):
        capsys.readouterr()
        assert outcome([*words, str(out)]) == 2
        said = capsys.readouterr().err
        assert f"error: {out}: cannot be written (" in said
        assert said.endswith("); name another file\n")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "store") == [
        "a.npz", "file", "record.jsonl",
    ]  # fmt: skip


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a small file system")
@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, capfd):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        suite = str(tiny.write_suite(tmp_path))
        assert outcome(["run", suite, "--store", str(disk / "store")]) == 4
        said = capfd.readouterr().err
        assert "the disk is full" in said
        assert "--store DIR" in said
        assert "Traceback" not in said
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert outcome(["run", suite, "--store", str(disk / "store")]) == 0
    finally:
        subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.slow
def test_no_permission_is_one_sentence(tmp_path):
    store = tmp_path / "store"
    store.mkdir(mode=0o555)
    suite = str(tiny.write_suite(tmp_path))
    code = (
        "import os, sys\n"
        "os.setuid(65534) if os.getuid() == 0 else None\n"
        "from ldmbench.cli import outcome\n"
        f"sys.exit(outcome(['run', {suite!r}, '--store', {str(store)!r}]))\n"
    )
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr or "Permission denied: '/root" in done.stderr:
        pytest.skip("the interpreter is not readable without privileges")
    assert done.returncode == 2
    assert f"{store}: no store can be kept there (no permission to write)" in done.stderr
    assert "Traceback" not in done.stderr


def _parameters(command, path=()):
    """Yield (words, parameter) of a command and of those below it."""
    context = click.Context(command)
    for parameter in command.params:
        yield path, parameter
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from _parameters(command.get_command(context, name), (*path, name))


@pytest.mark.parametrize("written", ["²", "٣", "３", "Ⅳ", "nan", "inf"])
def test_numbers_are_finite_and_of_ascii_digits(written):
    kinds = (click.types.IntParamType, click.types.FloatParamType)
    numbers = [(p, o) for p, o in _parameters(door) if isinstance(o.type, kinds)]
    assert len(numbers) > 3
    for path, option in numbers:
        with pytest.raises(click.BadParameter):
            option.type.convert(written, option, click.Context(door, info_name=" ".join(path)))


@pytest.mark.parametrize(
    ("typed_as", "near", "meant"),
    [
        ("path", ["batch", "kind"], ""),
        ("k", ["f"], ""),
        ("is", ["fid", "inception_score"], ""),
        ("fidd", ["kid", "fid"], "fid"),
        ("FID", ["kid", "fid"], "fid"),
        ("clip-score", ["clip_score"], "clip_score"),
        ("ddmp", ["ddim", "ddpm"], "ddpm"),
        ("shapes", ["shapes-v1"], "shapes-v1"),
        ("tokeniser", ["tokenizer"], "tokenizer"),
        ("ffhq", ["lsun-256", "ffhq-256"], "ffhq-256"),
        ("ffh", ["ffhq-256"], ""),
        ("x" * 200_000, ["x" * 200_000], ""),
    ],
)
def test_only_near_names_are_suggested(typed_as, near, meant):
    assert nearest(typed_as, near) == (f" (did you mean '{meant}'?)" if meant else "")


def test_options_are_suggested_by_the_same_rule(capsys):
    assert outcome(["score", "--metrc", "fid"]) == 2
    assert "No such option '--metrc' (did you mean '--metrics'?)" in capsys.readouterr().err
    assert outcome(["score", "--path", "fid"]) == 2
    assert "did you mean" not in capsys.readouterr().err
