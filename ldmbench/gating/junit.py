"""JUnit XML, as the readers of GitHub, GitLab, Jenkins and Azure take it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from ldmbench.gating.verdict import Item, Outcome
from ldmbench.gating.words import change_of, headline, span_of, title_of, values_of

__all__ = ["junit_xml"]

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold (section 2.2)."""
OUTCOMES = {"regressed": "failure", "incomparable": "error", "inconclusive": "skipped"}
"""Verdict -> element; pass and improved have none."""


def junit_xml(outcome: Outcome) -> str:
    """Return one test case per measure and cell, one suite per cell.

    Regressed is a failure, incomparable and failed cells are errors, inconclusive is skipped. Where
    nothing was judged, a single error says so: an empty file would be taken for success.
    """
    root = ET.Element("testsuites", {"name": "ldmbench gate"})
    cells: dict[str, list[Item]] = {}
    for item in outcome.items:
        cells.setdefault(item.cell, []).append(item)
    for cell, items in cells.items():
        _suite(root, cell, [_case(item) for item in items], outcome)
    for cell, reason in outcome.failed.items():
        _suite(root, cell, [_broken(cell, "cell", reason)], outcome)
    if not len(root):
        why = "; ".join(outcome.notes) or headline(outcome)
        _suite(root, "gate", [_broken("gate", "measured", why)], outcome)
    for count in ("tests", "failures", "errors"):  # Jenkins' schema has no skipped here
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    root.set("time", "0")
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, cell: str, cases: Iterable[ET.Element], outcome: Outcome) -> None:
    suite = ET.SubElement(root, "testsuite", {"name": _safe(cell)})
    properties = ET.SubElement(suite, "properties")
    for name, value in (("run", outcome.run), ("baseline", outcome.baseline)):
        ET.SubElement(properties, "property", {"name": name, "value": _safe(value)})
    suite.extend(cases)
    counts = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for attribute, tag in counts.items():
        suite.set(attribute, str(sum(1 for _ in suite.iter(tag))))
    suite.set("time", "0")


def _case(item: Item) -> ET.Element:
    case = _blank(item.cell, title_of(item))
    numbers = " ".join(part for part in (values_of(item), change_of(item), span_of(item)) if part)
    tag = OUTCOMES.get(item.verdict)
    if tag:
        message = _safe(f"{item.verdict}: {item.reason}")
        inner = ET.SubElement(case, tag, {"message": message})
        if tag != "skipped":
            inner.set("type", item.verdict)
        inner.text = _safe(f"{numbers}\n{item.method}".strip())
    else:
        ET.SubElement(case, "system-out").text = _safe(f"{item.verdict}: {numbers}")
    return case


def _broken(cell: str, name: str, reason: str) -> ET.Element:
    case = _blank(cell, name)
    ET.SubElement(case, "error", {"message": _safe(reason), "type": "failed"})
    return case


def _blank(cell: str, name: str) -> ET.Element:
    return ET.Element("testcase", {"classname": _safe(cell), "name": _safe(name), "time": "0"})


def _safe(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
