"""Where the browser is. Nothing is downloaded: it is the machine's own."""

from __future__ import annotations

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


class NoBrowserError(Exception):
    """There is none."""


def find_chromium() -> str:
    """The path of Chromium or Chrome: the one that CHROMIUM names, else the first on PATH."""
    named = os.environ.get("CHROMIUM")
    found = next((path for name in ([named] if named else NAMES) if (path := shutil.which(name))), None)
    if found is None:
        asked = f"CHROMIUM={named} is no program" if named else f"none of {', '.join(NAMES)} is on PATH"
        raise NoBrowserError(
            f"These tests open the report in a browser, and {asked}. Install Chromium (Debian and Ubuntu: "
            "`apt-get install chromium`; macOS: `brew install --cask chromium`), or set CHROMIUM to its path."
        )
    return found
