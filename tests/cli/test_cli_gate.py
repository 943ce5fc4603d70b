"""`gate`, `accept` and `history` through the door: exit codes, files, no traceback."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import tiny

sys.path.insert(0, str(Path(__file__).parent.parent / "gating"))
from made_records import Made, write

from ldmbench.cli import outcome
from ldmbench.records.runs import Runs


@pytest.fixture
def store(tmp_path):
    """A store with one made run, accepted in base.json beside it."""
    folder = tmp_path / "s"
    write(Runs(folder), Made(), folder)
    assert typed("accept", folder, "-o", tmp_path / "base.json") == 0
    return folder


def typed(command, store, *more):
    return outcome([command, "--store", str(store), *(str(part) for part in more)])


def test_accept_says_what_and_whence(store, tmp_path, capsys):
    data = json.loads((tmp_path / "base.json").read_text())
    assert data["suite"] == "smoke"
    assert data["runs"][0]["run"] == Made().id
    new = Made(number=2, flops=3e9)
    write(Runs(store), new, store)
    capsys.readouterr()
    assert typed("accept", store, "-o", tmp_path / "base.json") == 0
    shown = capsys.readouterr().out
    assert "regressed flops_per_image 2e+09 -> 3e+09 +50 %" in " ".join(shown.split())
    assert f"accepted {new.id}" in shown
    assert typed("accept", store, Made().id, "-o", tmp_path / "base.json", "--add", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == [new.id, Made().id]
    assert told["diff"]["verdict"] == "regressed" or told["diff"]["counts"]["improved"] == 2


def test_a_plan_that_cannot_be_read_is_no_pass(store, tmp_path, capsys):
    (Runs(store).path(Made().id) / "plan.json").write_text('{"suite": "smoke", "stag')
    capsys.readouterr()
    assert typed("gate", store, "--baseline", tmp_path / "base.json") == 2
    assert "plan.json is damaged" in capsys.readouterr().err


def test_accept_names_the_runs_that_it_drops(store, tmp_path, capsys):
    base = tmp_path / "base.json"
    other = Made(number=2, device="Other CPU")
    write(Runs(store), other, store)
    assert typed("accept", store, "-o", base, "--add") == 0
    write(Runs(store), Made(number=3, throughput=50.0), store)
    capsys.readouterr()
    assert typed("gate", store, "--baseline", base) == 1
    assert "it drops the 2 runs accepted before; --add keeps them" in capsys.readouterr().err
    assert typed("accept", store, "-o", base) == 0
    shown = capsys.readouterr()
    assert f"dropped {Made().id} (Some CPU x 2 threads)\n" in shown.out
    assert f"dropped {other.id} (Other CPU)\n" in shown.out
    assert "; 1 run in " in shown.out
    assert "2 accepted runs dropped; --add would have kept them" in shown.err
    assert typed("accept", store, other.id, "-o", base, "--add", "--json") == 0
    assert json.loads(capsys.readouterr().out)["dropped"] == []
    assert typed("accept", store, other.id, "-o", base, "--json") == 0
    assert json.loads(capsys.readouterr().out)["dropped"] == [Made(number=3).id]


def test_accept_shows_numbers_that_no_run_had(tmp_path, capsys):
    store, base = tmp_path / "s", tmp_path / "base.json"
    write(Runs(store), Made(precision=None, throughput=None), store)
    assert typed("accept", store, "-o", base) == 0
    cells = (*Made().cells, "third/shapes/ddim-4/g1/s0")
    write(Runs(store), Made(number=2, cells=cells, peak=1e9), store)
    capsys.readouterr()
    assert typed("accept", store, "-o", base) == 0
    shown = capsys.readouterr().out
    assert f"new in {cells[0]}: precision, throughput, peak_memory\n" in shown
    assert f"new in {cells[1]}: precision, throughput, peak_memory\n" in shown
    assert f"new cell {cells[2]}\n" in shown
    assert typed("accept", store, "-o", base, "--json") == 0
    assert json.loads(capsys.readouterr().out)["new"] == {}


def test_lost_replicates_are_named_on_both_sides(store, tmp_path, capsys):
    alone = shutil.copy(Runs(store).path(Made().id) / "records.jsonl", tmp_path / "alone.jsonl")
    base, poor = tmp_path / "base.json", tmp_path / "poor.json"
    capsys.readouterr()
    assert typed("accept", tmp_path / "no", alone, "-o", poor) == 0
    told = capsys.readouterr().err
    assert "warning: accepted without replicates: fid, precision; " in told
    assert typed("gate", tmp_path / "no", alone, "--baseline", base) in (0, 3)
    told = capsys.readouterr().err
    assert "note: replicates are missing, so judged by wider intervals: fid, precision; " in told
    assert "accepted without" not in told
    assert typed("gate", store, "--baseline", poor, "--json") in (0, 3)
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith("accepted without replicates, so judged by wider intervals: fid, prec")
    assert typed("accept", store, alone, "-o", poor) == 0
    assert "without replicates" not in capsys.readouterr().err
    assert typed("gate", store, "--baseline", poor) == 0
    assert "wider intervals" not in capsys.readouterr().err


def test_what_a_job_uploads_is_accepted_with_its_replicates(tmp_path, capsys):
    """The folders that docs/ci.md uploads: runs and scores, without what they were made from."""
    store, kept, base = tmp_path / "s", tmp_path / "kept", tmp_path / "base.json"
    write(Runs(store), Made(), store)
    for name in ("runs", "scores"):
        shutil.copytree(store / name, kept / name)
    assert typed("accept", kept, "-o", base) == 0
    assert "without replicates" not in capsys.readouterr().err
    assert (
        len(json.loads(base.read_text())["runs"][0]["cells"][0]["scores"][0]["replicates"]) == 200
    )


def test_a_name_cannot_speak_to_the_terminal(store, tmp_path, capsys):
    cells = (*Made().cells, "\x1b]0;x\x07/shapes/ddim-4/g1/s0")
    for number in range(2, 9):
        flops = 3e9 if number > 5 else 2e9
        write(Runs(store), Made(number=number, cells=cells, flops=flops), store)
    base = tmp_path / "base.json"
    for command, *more in (
        ("gate", "--baseline", base),
        ("accept", "-o", base),
        ("history", "--all"),
    ):
        capsys.readouterr()
        assert typed(command, store, *more) in (0, 1)
        shown = "".join(capsys.readouterr())
        assert "]0;x\ufffd/shapes" in shown
        assert not set(shown) & {"\x1b", "\x07"}, command


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({}, 0, "pass: 12 pass"),
        ({"throughput": 80.0}, 1, "regressed    throughput"),
        ({"wobble": 0.3}, 3, "too noisy"),
        ({"device": "Other CPU"}, 2, "device was"),
        ({"failed": Made().cells[:1]}, 4, "failed ldm/shapes/ddim-4/g1/s0: it broke"),
        ({"stale": ("denoiser",)}, 2, "ldmbench run SUITE --fresh denoiser"),
    ],
)
def test_exit_codes(store, tmp_path, change, code, said, capsys):
    write(Runs(store), Made(number=2, **change), store)
    capsys.readouterr()
    junit, summary = tmp_path / "out" / "gate.xml", tmp_path / "summary.md"
    summary.write_text("before\n")
    arguments = ("--baseline", tmp_path / "base.json", "--junit", junit, "--summary", summary)
    assert typed("gate", store, *arguments) == code
    assert said in capsys.readouterr().out
    assert int(ET.parse(junit).getroot().get("tests")) >= 2
    assert summary.read_text().startswith("before\n## ldmbench gate: ")
    assert typed("gate", store, *arguments, "--json") == code
    assert json.loads(capsys.readouterr().out)["exit_code"] == code


def test_a_record_file_is_a_run(store, tmp_path, capsys):
    file = Runs(store).path(Made().id) / "records.jsonl"
    assert typed("gate", tmp_path / "no", file, "--baseline", tmp_path / "base.json") == 0
    alone = shutil.copy(file, tmp_path / "alone.jsonl")
    code = typed("gate", tmp_path / "no", alone, "--baseline", tmp_path / "base.json")
    assert code in (0, 3)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gate"], "Missing option '--baseline'"),
        (["gate", "--baseline", "none.json"], "ldmbench accept -o none.json"),
        (["gate", "x.jsonl", "--baseline", "BASE"], "no such record file"),
        (["gate", "x", "--baseline", "BASE"], "no run 'x'"),
        (["accept"], "Missing option '-o'"),
        (["history", "--suite", "other"], "no finished run of suite 'other'"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(store, tmp_path, arguments, message, capsys):
    given = [str(tmp_path / "base.json") if a == "BASE" else a for a in arguments]
    assert typed(given[0], store, *given[1:]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[: len(text) // 2], "is damaged or not a baseline"),
        (lambda text: text.replace('"api_version": 2', '"api_version": 9', 1), "newer than this"),
        (
            lambda text: text.replace('"api_version": 2', '"api_version": 0', 1),
            "accept a run again",
        ),
        (lambda text: text.replace('"rules"', '"rule"', 1), "rule: Extra inputs"),
        (lambda text: text.replace("20.0,", "NaN,", 1), "NaN is no finite number"),
        (lambda text: text.replace('"value": 20.0', '"value": "twenty"', 1), "valid number"),
        (lambda text: text.encode("utf-16"), "is damaged or not a baseline"),
        (lambda text: "", "is damaged or not a baseline"),
    ],
)
def test_a_spoilt_baseline_is_one_sentence(store, tmp_path, spoil, message, capsys):
    base = tmp_path / "base.json"
    text = base.read_text()
    spoilt = spoil(text)
    assert spoilt != text
    base.write_bytes(spoilt if isinstance(spoilt, bytes) else spoilt.encode())
    capsys.readouterr()
    for command in (("gate", "--baseline"), ("accept", "-o")):
        assert typed(command[0], store, command[1], base) == 2
        shown = capsys.readouterr().err.strip()
        assert message in shown
        assert len(shown.splitlines()) == 1
        assert str(base) in shown
    assert base.read_bytes() == (spoilt if isinstance(spoilt, bytes) else spoilt.encode())


@pytest.mark.parametrize("refused", ["missing", "damaged", "foreign", "unfinished", "no run"])
def test_a_refusal_leaves_no_green_file_of_an_older_gate(store, tmp_path, refused, capsys):
    base, junit, summary = (tmp_path / name for name in ("base.json", "gate.xml", "gate.md"))
    arguments = ["--baseline", base, "--junit", junit, "--summary", summary]
    assert typed("gate", store, *arguments) == 0
    assert ET.parse(junit).getroot().get("errors") == "0"
    if refused == "missing":
        base.unlink()
    elif refused == "damaged":
        base.write_text("{")
    elif refused == "foreign":
        base.write_text('{"api_version": 1, "suite": "other", "runs": []}')
    elif refused == "unfinished":
        run = Runs(store).find()
        Runs(store).write_run(run.model_copy(update={"state": "interrupted"}))
    else:
        arguments = ["none", *arguments]
    capsys.readouterr()
    assert typed("gate", store, *arguments, "--json") == 2
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert (told["verdict"], told["exit_code"], told["items"]) == ("refused", 2, [])
    assert told["error"] in shown.err
    root = ET.parse(junit).getroot()
    assert (root.get("tests"), root.get("errors"), root.get("failures")) == ("1", "1", "0")
    assert root.find(".//error").get("message") == told["error"]
    assert summary.read_text().count("## ldmbench gate: ") == 2
    assert "## ldmbench gate: refused: nothing was judged" in summary.read_text()


def test_a_baseline_of_nothing_judges_nothing(store, tmp_path, capsys):
    base = tmp_path / "base.json"
    base.write_text('{"api_version": 1, "suite": "smoke", "runs": []}')
    for more in ((), ("--noise", "note", "--other-machines", "note")):
        assert typed("gate", store, "--baseline", base, *more) == 3
        assert "nothing was judged" in capsys.readouterr().out


def test_a_foreign_machine_class_passes_when_it_is_only_noted(store, tmp_path, capsys):
    write(Runs(store), Made(number=2, device="Other CPU", throughput=9.0, latency=1.0), store)
    arguments = ("--baseline", tmp_path / "base.json")
    assert typed("gate", store, *arguments) == 2
    capsys.readouterr()
    assert typed("gate", store, *arguments, "--other-machines", "note") == 0
    shown = capsys.readouterr()
    assert "pass: 6 pass" in shown.out
    assert "are measured on Other CPU: noted, not judged" in shown.err


def test_an_unfinished_run_is_not_judged(store, tmp_path, capsys):
    run = Runs(store).find()
    Runs(store).write_run(run.model_copy(update={"state": "interrupted"}))
    assert typed("gate", store, "--baseline", tmp_path / "base.json") == 2
    assert "is interrupted; run its suite again" in capsys.readouterr().err


def test_history_names_the_run(store, capsys):
    for number in range(2, 9):
        made = Made(number=number, **({"flops": 3e9} if number > 5 else {}))
        write(Runs(store), made, store)
    capsys.readouterr()
    assert typed("history", store) == 0
    shown = capsys.readouterr().out
    assert f"regressed at {Made(number=6).id}: 2e+09 -> 3e+09" in shown
    assert "8 runs of smoke, 10 series, 2 with a step" in shown
    assert typed("history", store, "--measure", "fid", "--only", "ldm/*", "--json") == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert len(series["points"]) == 8
    assert typed("history", store, "--measure", "nothing") == 3


def test_history_leaves_out_a_damaged_run(store, capsys):
    for number in (2, 3):
        write(Runs(store), Made(number=number), store)
    files = [Runs(store).path(Made(number=n).id) / "records.jsonl" for n in (1, 2, 3)]
    files[1].write_text('{"api_version": 1}\n')
    capsys.readouterr()
    assert typed("history", store) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith(f"warning: run {Made(number=2).id} is left out: {files[1]}:1: ")
    assert len(shown.err.splitlines()) == 1
    assert "2 runs of smoke, 10 series, 0 with a step" in shown.out
    assert typed("history", store, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
    for file in files:
        file.write_text("{")
    assert typed("history", store) == 2
    assert f"error: {files[0]}:1: is damaged" in capsys.readouterr().err


def test_the_commands_need_no_torch(store, tmp_path):
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'mlflow', 'pandas', 'altair'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from ldmbench.cli import outcome\n"
        f"sys.exit(outcome(['gate', '--store', {str(store)!r}, '--baseline',"
        f" {str(tmp_path / 'base.json')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_real_run_gates_itself_and_a_changed_code_is_stale(tmp_path, capsys):
    """The tiny suite with its speed: accepted, run again, gated; then its denoiser grows old."""
    text = tiny.SUITE.replace("[device_days]", "[device_days, throughput, flops]")
    text = text.replace("steps: [2, 3]", "steps: 2")
    suite = tiny.write_suite(tmp_path, text + "speed: {batch: 2, repeats: 2}\n")
    first, again, base = tmp_path / "a", tmp_path / "b", tmp_path / "base.json"
    assert typed("run", first, suite, "--json") == 0
    assert typed("accept", first, "-o", base) == 0
    assert typed("run", again, suite, "--json") == 0
    capsys.readouterr()
    assert typed("gate", again, "--baseline", base, "--json") in (0, 1, 3)
    items = json.loads(capsys.readouterr().out)["items"]
    judged = {item["name"]: item["verdict"] for item in items}
    assert judged["fid"] == judged["precision"] == judged["flops_per_image"] == "pass"
    assert "throughput" in judged
    for manifest in (again / "denoiser").rglob("manifest.json"):
        data = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**data, "code": "older"}))
    assert typed("gate", again, "--baseline", base) == 2
    assert "--fresh denoiser" in capsys.readouterr().out
    assert typed("accept", again, "-o", base) == 2
