"""Take the README's picture of a timeline: `python tests/picture.py timeline/c0047.html docs/images/timeline.png`.

The page is the one of the README's commands, at 17.5 s, as a browser on a desk shows it.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
WIDTH, HEIGHT, SCALE = 1280, 980, 1.5


def take(page_file: Path, picture: Path) -> None:
    """Write the picture of a page."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        size = {"width": WIDTH, "height": HEIGHT}
        page = browser.new_page(viewport=size, device_scale_factor=SCALE, color_scheme="light", reduced_motion="reduce")
        page.goto(f"{page_file.resolve().as_uri()}#t=17.5")
        page.wait_for_selector("html[data-ready=yes]")
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
