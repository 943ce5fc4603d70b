"""How large a report of 204 cells is, and how long a browser takes to open it.

    python tests/bench/bench_report.py [--times N]

Each opening is a page of its own, from asking for the file to the table being filled; the median
and the slowest are printed beside the 2 s and 15 MB that a report may take.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from ldmbench.report import render

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from fake_records import fake


def main():
    """Render, open and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=9)
    times = parser.parse_args().times
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "report.html"
        asked = fake(Path(folder), steps=tuple(range(5, 90, 5)), side=48)
        began = time.perf_counter()
        page.write_text(render(*asked, folder=Path(folder), format="html"))
        rendered = time.perf_counter() - began
        args = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=args)
        opened = [seconds_to_open(browser, page) for _ in range(times)]
        size = page.stat().st_size / 1e6
    print(f"rendered in {rendered:.1f} s")
    print(f"size        {size:6.2f} MB ({size / 15:.0%} of 15 MB)")
    middle, most = statistics.median(opened), max(opened)
    print(f"opened in   {middle:6.2f} s, at most {most:.2f} s of {times} ({middle / 2:.0%} of 2 s)")


def seconds_to_open(browser: Browser, path: Path) -> float:
    """Open the page once."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    began = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function("document.getElementById('count').textContent")
    seconds = time.perf_counter() - began
    page.close()
    return seconds


if __name__ == "__main__":
    main()
