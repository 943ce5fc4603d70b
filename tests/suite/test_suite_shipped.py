"""Suites that ship with the package: found by name, without a checkout."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.suite import shipped as module
from ldmbench.suite.load import load_suite
from ldmbench.suite.shipped import located, shipped

ROOT = Path(__file__).parent.parent.parent
PAPER = {
    "table1_unconditional", "table2_text", "table3_class", "table5_superres",
    "table6_inpainting_efficiency", "table7_inpainting", "table8_first_stages", "table9_layout",
    "table10_class_guided", "table18_compute", "fig6_training", "fig7_steps",
    "imagenet256_sit", "imagenet256_rae", "first_stages_imagenet",
}  # fmt: skip
NAMES = {
    "smoke",
    "quickstart",
    "budget_curve",
    "downsampling_sweep",
    "objectives",
    "tasks",
    "first_stages",
}
NAMES |= {"guidance", "unet_dit"}
NAMES |= PAPER | {f"{name}_shapes" for name in PAPER}


@pytest.fixture(params=["checkout", "wheel"])
def installed(request, tmp_path, monkeypatch):
    """The package as it lies in a checkout, or as a wheel unpacks it; elsewhere to work in."""
    if request.param == "wheel":
        package = tmp_path / "site-packages" / "ldmbench"
        build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"][
            "build"
        ]
        for source, target in build["targets"]["wheel"]["force-include"].items():
            shutil.copytree(ROOT / source, package.parent / target)
        monkeypatch.setattr(module, "PACKAGE", package)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return request.param


def test_every_suite_of_the_checkout_ships(installed):
    assert set(shipped()) == NAMES == {path.stem for path in (ROOT / "suites").rglob("*.yaml")}
    assert ("site-packages" in str(shipped()["smoke"])) == (installed == "wheel")
    assert load_suite(located(Path("smoke"))).name == "smoke"


@pytest.mark.usefixtures("installed")
def test_a_bare_name_finds_what_ships_unless_a_file_has_it():
    assert located(Path("smoke")) == shipped()["smoke"]
    for name in ("smoke.yaml", "./a/smoke", "suites/smoke", "nothing", "/smoke"):
        assert located(Path(name)) == Path(name)
    Path("smoke").mkdir()
    assert located(Path("smoke")) == shipped()["smoke"]
    Path("quickstart").write_text("suite: mine\n")
    assert located(Path("quickstart")) == Path("quickstart")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("written", "meant"),
    [("smok", "smoke"), ("smoke.yaml", "smoke"), ("suites/smoke.yaml", "smoke"),
     ("quick_start", "quickstart"), ("table3_clas", "table3_class"),
     ("my_suit.yaml", "my_suite.yaml")],
)  # fmt: skip
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(written, meant):
    Path("my_suite.yaml").write_text("suite: mine\n")
    with pytest.raises(InputError) as error:
        load_suite(located(Path(written)))
    assert f"{written}: no such suite file (did you mean '{meant}'?); " in str(error.value)


@pytest.mark.usefixtures("installed")
def test_commands_say_which_file_they_took(capsys, tmp_path):
    assert outcome(["plan", "smoke", "--store", str(tmp_path / "store")]) == 0
    assert f"suite smoke: {shipped()['smoke']}" in capsys.readouterr().err
    assert outcome(["list", "suites"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == NAMES
