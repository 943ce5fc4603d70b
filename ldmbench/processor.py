"""The processor's name: which times may be compared depends on it."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

__all__ = ["name_in", "processor_name"]

_X86 = (("cpu family", "family"), ("model", "model"), ("stepping", "stepping"))
_ARM = (
    ("CPU implementer", "implementer"),
    ("CPU part", "part"),
    ("CPU variant", "variant"),
    ("CPU revision", "revision"),
)


@cache
def processor_name() -> str:
    """Return the name of this machine's processor, which differs where its generation does."""
    if sys.platform == "linux":
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        return name_in(text) or platform.machine()
    if sys.platform == "darwin":
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        found = subprocess.run(asked, capture_output=True, encoding="utf-8", check=False)
        return found.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def name_in(cpuinfo: str) -> str:
    """Return the processor's name in the text of /proc/cpuinfo, "" if it has none.

    Virtual machines often hide the model number: "AMD EPYC" and "Intel(R) Xeon(R) CPU @ 2.20GHz"
    name several generations. Such names get family, model and stepping; an ARM processor, which
    has no name there, gets the numbers that it has.
    """
    first = cpuinfo.strip().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in pairs}
    name = fields.get("model name", "")
    if re.search(r"\d{3}", name.split("@")[0]):
        return name
    numbers = [f"{word} {fields[key]}" for key, word in (*_X86, *_ARM) if key in fields]
    name = name or ("ARM" if "CPU part" in fields else "")
    return f"{name} ({', '.join(numbers)})" if name and numbers else name
