"""Photographs of the built site: `python -m docs.site.photographs build/site build/pictures`.

Headless Chromium, 1280 and 400 pixels wide, light and dark.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PAGES: Final = (
    "index",
    "getting-started",
    "gallery/gamma",
    "reference/energy.relax",
    "repository/paper_repro/softhebb/table",
)
WIDTHS: Final = {1280: 1600, 400: 1600}  # pixels, and the height that is shown
THEMES: Final = {"light": 1, "dark": 0}  # as Chromium numbers what a reader prefers
BROWSERS: Final = ("chromium", "chromium-headless-shell", "google-chrome")


def photograph(page: Path, picture: Path, width: int, theme: str) -> None:
    """Take one picture.

    Args:
        page: an HTML file.
        picture: the PNG file to write.
        width: of the window, in pixels.
        theme: light or dark.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"photographs need one of {', '.join(BROWSERS)}")
    options = [
        "--headless",
        "--no-sandbox",
        "--hide-scrollbars",
        f"--window-size={width},{WIDTHS[width]}",
        f"--blink-settings=preferredColorScheme={THEMES[theme]}",
        "--virtual-time-budget=2000",
        f"--screenshot={picture}",
    ]
    subprocess.run([browser, *options, page.resolve().as_uri()], check=True, capture_output=True)


def main(site: Path, folder: Path) -> None:
    """Photograph the pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        for width in WIDTHS:
            for theme in THEMES:
                name = f"{page.replace('/', '-')}-{width}-{theme}.png"
                photograph(site / f"{page}.html", folder.resolve() / name, width, theme)
                print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
