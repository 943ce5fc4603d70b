"""The suites that ship with the package, by name."""

from __future__ import annotations

from pathlib import Path

from ldmbench.registry import nearest

__all__ = ["located", "meant", "shipped", "suites_in"]

PACKAGE = Path(__file__).parent.parent


def shipped() -> dict[str, Path]:
    """Return name -> file: those of the checkout that the package lies in, else its own copies."""
    checkout = PACKAGE.parent / "suites"
    folder = checkout if (PACKAGE.parent / "pyproject.toml").is_file() else PACKAGE / "suites"
    return {path.stem: path for path in suites_in(folder)}


def suites_in(folder: Path) -> list[Path]:
    """Return the suite files of a folder and of the folders in it, such as paper/."""
    return [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]


def located(path: Path) -> Path:
    """Return the file of a suite: the one that is named, or where there is none, one that ships.

    A suite that ships is asked for by its bare name, such as smoke.
    """
    bare = path.name == str(path) and not path.suffix
    there = path.exists() and not path.is_dir()
    return path if there or not bare else shipped().get(path.name, path)


def meant(path: Path) -> str:
    """Say which suite is named nearly like a file that is not there; '' for none."""
    files = [*path.parent.glob("*.yaml"), *suites_in(Path("suites"))]
    names = dict.fromkeys([*map(str, files), *shipped()])
    return nearest(str(path), names) or nearest(path.stem, names)
