"""The JSON Schema for editors is current and agrees with what the loader accepts."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from ldmbench.schema.json_schema import FILE, text


def test_the_committed_schema_is_current():
    hint = "run `python -m ldmbench.schema.json_schema`"
    assert FILE.read_text(encoding="utf-8") == text(), hint


@pytest.mark.parametrize("path", sorted(Path("suites").rglob("*.yaml")), ids=lambda p: p.name)
def test_every_suite_is_valid_for_an_editor(path):
    jsonschema.validate(YAML(typ="safe").load(path), json.loads(FILE.read_text()))


@pytest.mark.parametrize(
    "change",
    [{"protocl": "x"}, {"probes": ["flopz"]}, {"sample": {"steps": "ten"}}, {"models": {}}],
)
def test_an_editor_sees_mistakes(change):
    suite = YAML(typ="safe").load(Path("suites/smoke.yaml"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**suite, **change}, json.loads(FILE.read_text()))


def test_every_field_says_whether_it_sweeps():
    schema = json.loads(FILE.read_text())
    steps = schema["$defs"]["SampleParams"]["properties"]["steps"]
    batch = schema["$defs"]["SampleParams"]["properties"]["micro_batch"]
    assert {option.get("type") for option in steps["oneOf"]} == {"integer", "array"}
    assert batch["type"] == "integer"
