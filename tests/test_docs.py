"""The documents are true: commands and options are there, links lead somewhere, suites plan."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
import tiny
from PIL import Image
from ruamel.yaml import YAML

from ldmbench.cli import COMMANDS, door
from ldmbench.session.planning import planned
from ldmbench.suite.protocol_files import read_protocol

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
REFERENCE = (DOCS / "reference" / "cli.md").read_text("utf-8")
SHARED = {"--store", "--json", "--help"}
"""Options that the reference describes once for all commands."""


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def section(command):
    """The part of the command-line reference that describes one command."""
    heading = f"## ldmbench {command}\n"
    assert heading in REFERENCE, f"docs/reference/cli.md has no section '## ldmbench {command}'"
    return REFERENCE.split(heading)[1].split("\n## ")[0]


def options(command):
    """Every option of a command and of its subcommands."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from options(child)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from (*parameter.opts, *parameter.secondary_opts)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_reference(name):
    described = section(name) + (section("run") if name == "plan" else "")
    for option in options(door.get_command(click.Context(door), name)):
        if option not in SHARED:
            assert f"`{option}" in described, f"docs/reference/cli.md does not describe {option}"


def test_the_reference_has_no_option_that_is_gone():
    for name in COMMANDS:
        known = SHARED | set(options(door.get_command(click.Context(door), name)))
        if name == "plan":
            known |= set(options(door.get_command(click.Context(door), "run")))
        rows = [line for line in section(name).splitlines() if line.startswith("| `-")]
        for row in rows:
            written = set(re.findall(r"`(--?[\w-]+)", row.split(" | ")[0]))
            assert written <= known, f"ldmbench {name} has no {written - known}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path = unquote(target.split("#")[0])
        if path and "://" not in path and not path.startswith("mailto:"):
            assert (page.parent / path).exists(), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_pages_show_exist(page):
    for block in re.findall(r"```(?:bash|yaml)?\n(.*?)```", page.read_text("utf-8"), re.S):
        for word in re.findall(r"^ *(?:- )?ldmbench ([a-z]+)\b", block, re.M):
            assert word in COMMANDS, f"{name_of(page)} shows `ldmbench {word}`"


def blocks(language):
    """(page, number, text) of every fenced block of a language, but the workflows of ci.md."""
    for page in PAGES:
        found = re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.S)
        if page.name != "ci.md":
            yield from ((page, number, text) for number, text in enumerate(found))


def whole(text):
    """A suite that holds a block: the block itself, or the smallest suite with its sections."""
    suite = YAML(typ="safe").load(tiny.SUITE.replace("[2, 3]", "[2, 4]"))  # no rule refuses 4
    block = YAML(typ="safe").load(text)
    return block if "suite" in block else suite | block


MINE = next(text for _, _, text in blocks("yaml") if text.startswith("# mine.yaml"))
"""The protocol of a user's own that docs/protocols.md shows."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of images that are large enough for the suites of the documents, with captions."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(1300):
        colour = (number % 256, number // 256, 0)
        Image.new("RGB", (128, 128), colour).save(folder / f"{number:04}.png", compress_level=1)
        (folder / f"{number:04}.txt").write_text(f"a photograph, number {number}")
    return folder


@pytest.mark.parametrize(
    ("page", "text"),
    [pytest.param(p, t, id=f"{name_of(p)}-{n}") for p, n, t in blocks("yaml")],
)
def test_every_suite_of_the_documents_plans(page, text, tmp_path, monkeypatch, request):
    (tmp_path / "mine.yaml").write_text(MINE)
    if text == MINE:
        assert read_protocol(tmp_path / "mine.yaml").name.startswith("mine@")
        return
    suite = whole(text)
    monkeypatch.chdir(tmp_path)
    if "photos" in suite.get("data", {}):
        suite["data"]["photos"]["path"] = str(request.getfixturevalue("photographs"))
    if page.name == "datasets.md":
        pytest.skip("tests/sources/test_sources_datasets.py plans data sets of each kind")
    if any(model.get("kind") == "load" for model in suite["models"].values()):
        pytest.skip("tests/end_to_end/test_load_in_suite.py plans loaded models")
    stages = [model.get("autoencoder") or {} for model in suite["models"].values()]
    if any("path" in stage for stage in stages):
        pytest.skip("tests/end_to_end/test_first_stage_in_suite.py plans first stages from disk")
    if "stripes_bench" in text or suite["suite"] == "stripes":
        pytest.skip("tests/end_to_end/test_plugins.py installs and runs it")
    path = tmp_path / "suite.yaml"
    with path.open("w") as file:
        YAML().dump(suite, file)
    _, plan = planned(path, [], [], store=tmp_path / "store")
    assert plan.cells


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = "".join(path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.html"))
    assert "fonts.googleapis" not in text
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://(?!arxiv)', text)
