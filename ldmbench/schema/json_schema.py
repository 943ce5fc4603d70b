"""The JSON Schema of a suite, for editors; `python -m ldmbench.schema.json_schema` writes it."""

from __future__ import annotations

import json
from pathlib import Path

from ldmbench.schema.sweep import suite_form

FILE = Path(__file__).parent / "suite.schema.json"


def suite_schema() -> dict[str, object]:
    """Return the JSON Schema of what a person may write."""
    found = suite_form().model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "ldmbench suite"
    return found


def text() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(suite_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
