"""The documents are true: commands and options are there, links lead somewhere, suites plan."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from ldmbench.cli import COMMANDS, door

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
