"""A hook of MkDocs: add the pages at the top of the repository to the site.

ARCHITECTURE.md, CHANGELOG.md, CONTRIBUTING.md and SECURITY.md stand at the top, where GitHub and
packagers look for them. In the site they are pages like those of docs/, and links between the two
places are rewritten.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
INTO_DOCS = re.compile(r"\]\(docs/")
"""A link from a page at the top into docs/."""
OUT_OF_DOCS = re.compile(rf"\]\((?:\.\./)+({'|'.join(map(re.escape, PAGES))})")
"""A link from a page in docs/ to one at the top."""
AT_THE_TOP = re.compile(rf"\]\(({'|'.join(map(re.escape, PAGES))})")
"""A link from one page at the top to another."""


def in_site(text: str) -> str:
    """Return a page of the top of the repository with links that hold in the site."""
    text = AT_THE_TOP.sub(lambda found: f"]({found[1].lower()}", text)
    return INTO_DOCS.sub("](", text)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages at the top to the files of docs/."""
    for name in PAGES:
        text = in_site((ROOT / name).read_text("utf-8"))
        files.append(File.generated(config, name.lower(), content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links that leave docs/ lead to the pages that `on_files` added."""
    up = "../" * page.file.src_uri.count("/")
    return OUT_OF_DOCS.sub(lambda found: f"]({up}{found[1].lower()}", markdown)
