"""Screenshots of the Space for the documentation, in a headless Chromium: wide pages and one of a phone.

    career-hf quickstart --output runs/quickstart
    python examples/space/screenshots.py runs/quickstart/career docs/how_to/space

Needs the program `chromium` and playwright (`pip install "career_hf[browser]"`).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from app import build, launch_settings
from playwright.sync_api import Page, sync_playwright
from predictions import CareerPredictor


FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WIDE, PHONE = (1280, 900), (390, 844)
# The third: with the quickstart's checkpoint its rationale has two years.
EXAMPLE = 2
# What is waited for in each.
TABS = {"Next year": "to stay in", "Forecast": "The forecast;", "Rationale": "The career and its rationale"}


def photograph(page: Page, address: str, output: Path, prefix: str, tabs: list[str]) -> None:
    """One example, predicted, and some tabs."""
    page.goto(address)
    page.get_by_role("button", name="→").nth(EXAMPLE).click()
    page.get_by_text("In all years:").wait_for()
    page.get_by_role("button", name="Predict").click()
    for tab in tabs:
        shown = TABS[tab]
        page.get_by_role("tab", name=tab).click()
        page.get_by_text(shown).or_(page.get_by_alt_text(shown)).first.wait_for()
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)  # transitions
        page.screenshot(path=output / f"{prefix}{tab.lower().replace(' ', '_')}.png", full_page=True)


def photograph_error(page: Page, address: str, path: Path) -> None:
    """A year that no model knows."""
    page.goto(address)
    page.get_by_role("button", name="→").nth(EXAMPLE).click()
    page.get_by_text("In all years:").wait_for()
    page.get_by_label("Year").first.fill("1")
    page.get_by_role("button", name="Add year").click()
    page.get_by_test_id("toast-body").wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Screenshots of the Space with a checkpoint.")
    parser.add_argument("checkpoint", help="folder or Hub id")
    parser.add_argument("output", type=Path, help="folder for the PNG files")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    served = build(CareerPredictor(arguments.checkpoint), arguments.checkpoint)
    served.launch(**launch_settings(), prevent_thread_lock=True, quiet=True)
    with sync_playwright() as starter:
        browser = starter.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for prefix, (width, height), tabs in [("", WIDE, list(TABS)), ("phone_", PHONE, ["Forecast"])]:
            page = browser.new_page(viewport={"width": width, "height": height})
            photograph(page, served.local_url, arguments.output, prefix, tabs)
        page = browser.new_page(viewport={"width": WIDE[0], "height": WIDE[1]})
        photograph_error(page, served.local_url, arguments.output / "error.png")
        browser.close()
    served.close()


if __name__ == "__main__":
    main()
