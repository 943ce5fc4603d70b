"""Text is UTF-8 whatever the locale is: who opens a file says so."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "ldmbench"
TEXT = {"r", "w", "a", "x", "rt", "wt", "at", "r+", "w+", "a+"}
PLACE = {"read_text": 0, "write_text": 1}
"""Method -> where among its arguments the encoding stands."""


def silent(node: ast.Call) -> bool:
    """Tell whether a call reads or writes text and leaves its encoding to the locale."""
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    method = isinstance(node.func, ast.Attribute)
    name = node.func.attr if method else getattr(node.func, "id", "")
    if "encoding" in named:
        return False
    if name in PLACE:
        return len(node.args) <= PLACE[name]
    if name in ("run", "Popen", "check_output"):
        return bool({"text", "universal_newlines"} & set(named))
    if name in ("TextIOWrapper", "getpreferredencoding"):
        return True
    if name not in ("open", "fdopen", "NamedTemporaryFile"):
        return False
    told = [*node.args, *named.values()]
    modes = {a.value for a in told if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    plain = name == "open" and not method and not any("b" in mode for mode in modes)
    return bool(modes & TEXT) or plain


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("p.read_text()", True),
        ("p.read_text('utf-8')", False),
        ("p.write_text(t)", True),
        ("p.write_text(t, encoding='utf-8')", False),
        ("open(p)", True),
        ("open(p, 'rb')", False),
        ("p.open('a')", True),
        ("Image.open(p)", False),
        ("subprocess.run(c, text=True)", True),
        ("subprocess.run(c)", False),
    ],
)
def test_the_walk_sees_what_it_should(text, wrong):
    assert silent(ast.parse(text).body[0].value) is wrong


def test_nobody_leaves_the_encoding_to_the_locale():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and silent(node)
    ]
    assert found == []


def test_what_counts_as_a_number_is_what_int_reads():
    """'²'.isdigit() and '½'.isnumeric() are true, and int() raises for both."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("isdigit", "isnumeric")
    ]
    assert found == []
