"""A page in a browser without a window: its picture, and what its document holds once its scripts have run."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
TALL: Final = 1200


def chromium() -> str | None:
    """The browser's path; None if there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def document(page: Path, width: int) -> str:
    """The document after its scripts, in a window of that width."""
    return _run(page, width, "--dump-dom").stdout


def picture(page: Path, width: int, height: int = TALL) -> Path:
    """A picture of the top of the page, in a window of that size."""
    path = page.with_name(f"{page.stem}-{width}.png")
    _run(page, width, f"--screenshot={path}", height=height)
    return path


def _run(page: Path, width: int, *asked: str, height: int = TALL) -> subprocess.CompletedProcess[str]:
    browser = chromium()
    assert browser is not None
    home = page.parent / "browser"
    still = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
    still += [f"--user-data-dir={home}"]
    size = [f"--window-size={width},{height}", "--virtual-time-budget=20000"]
    command = [browser, *still, *size, *asked, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
