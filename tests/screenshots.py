"""`make screenshots`: photographs every page in each state, in light, dark, on a phone and on a wide screen.

    python -m tests.screenshots [--folder .state/screenshots] [--states empty idle full failing] [--pages NAME ...]
        [--sessions 120] [--prices FOLDER --symbols A B]

From simulated prices in the state `full`, it also writes the pictures of the README and the docs. It takes a few minutes.
"""

import argparse
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from forecasting.runtime.private_service import PrivateService, ServiceError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".state" / "screenshots"
STATES = ("empty", "idle", "full", "failing")
STAFF = "ana"
START_SECONDS = 60
# By file in docs: the page, and the last thing that the picture shows.
PICTURES = {"service.png": ("visitors-symbol", ".chart-text"), "console.png": ("home", "#calibration")}
COLOURS = 64
MARGIN = 12  # CSS pixels below the last thing that a picture shows


@dataclass(frozen=True, slots=True)
class Look:
    """A window in CSS pixels, and a colour scheme."""

    width: int
    height: int = 900
    scheme: Any = "light"


LOOKS = {"light": Look(1280), "dark": Look(1280, scheme="dark"), "phone": Look(390, 844), "wide": Look(1600)}
OF_PICTURE = Look(1100, 1200)


def main() -> None:
    """Takes one service through the states, and photographs it in each."""
    chosen = options()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no chromium on the PATH. On Debian: apt-get install chromium")
    password = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        service = PrivateService(Path(folder), prices=chosen.prices, command="web", DJANGO_SUPERUSER_PASSWORD=password)
        seed(service, "empty", chosen)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with service:
            service.until("the web server", lambda: is_up(service.url), seconds=START_SECONDS)
            for state in STATES[: 1 + max(STATES.index(each) for each in chosen.states)]:
                pages = seed(service, state, chosen)
                if state in chosen.states:
                    visit(browser, service.url, password, pages, chosen.folder / state)
                if state == "full" and service.simulated and not chosen.pages:
                    take_pictures(browser, service.url, password, pages)
        browser.close()


def options() -> argparse.Namespace:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--states", nargs="+", choices=STATES, default=STATES)
    parser.add_argument("--pages", nargs="+", default=(), help="names of tests/every_page.py")
    parser.add_argument("--sessions", type=int, default=120)
    parser.add_argument("--prices", type=Path)
    parser.add_argument("--symbols", nargs="+", default=())
    return parser.parse_args()


def seed(service: PrivateService, state: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Takes the service's database to the state; returns the pages that are asked for. Raises ServiceError."""
    with tempfile.NamedTemporaryFile() as file:
        asked = ["--state", state, "--sessions", str(chosen.sessions), "--list", file.name, *chosen.symbols]
        command, env = [sys.executable, "-m", "tests.seed", *asked], os.environ | service.env
        made = subprocess.run(command, env=env, cwd=ROOT, check=False, capture_output=True, text=True)
        if made.returncode:
            raise service.error(f"The state {state} was not reached: {made.stderr[-2000:]}")
        pages: list[dict[str, Any]] = json.load(file)
    return [page for page in pages if not chosen.pages or page["name"] in chosen.pages]


def is_up(url: str) -> bool:
    """Whether the web server answers."""
    try:
        with urllib.request.urlopen(f"{url}/health/live", timeout=5) as answer:  # noqa: S310 - a URL of our own
            return bool(answer.status == 200)
    except OSError:
        return False


def visit(browser: Browser, url: str, password: str, pages: list[dict[str, Any]], folder: Path) -> None:
    """Saves each page in each look as FOLDER/NAME-LOOK.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, look in LOOKS.items():
        anonymous, staff = context(browser, look), context(browser, look)
        log_in(staff, url, password)
        for page in pages:
            tab = (staff if page["staff"] else anonymous).new_page()
            tab.goto(url + page["address"])
            tab.wait_for_selector(page["drawn"])
            tab.screenshot(path=folder / f"{page['name']}-{name}.png", full_page=True)
            tab.close()
        anonymous.close()
        staff.close()
    print(f"{len(pages)} pages in {len(LOOKS)} looks: {folder}")  # noqa: T201 - a command


def context(browser: Browser, look: Look) -> BrowserContext:
    """A browser of its own of this size and colour scheme."""
    return browser.new_context(viewport={"width": look.width, "height": look.height}, color_scheme=look.scheme)


def log_in(staff: BrowserContext, url: str, password: str) -> None:
    """Logs STAFF in."""
    tab = staff.new_page()
    tab.goto(f"{url}/admin/login/")
    tab.get_by_label("Username").fill(STAFF)
    tab.get_by_label("Password").fill(password)
    tab.get_by_role("button", name="Log in").click()
    tab.wait_for_selector("#user-tools")
    tab.close()


def take_pictures(browser: Browser, url: str, password: str, pages: list[dict[str, Any]]) -> None:
    """Writes the pictures of the README and the docs."""
    staff = context(browser, OF_PICTURE)
    log_in(staff, url, password)
    by_name = {page["name"]: page for page in pages}
    for file, (name, end) in PICTURES.items():
        tab = staff.new_page()
        tab.goto(url + by_name[name]["address"])
        tab.wait_for_selector(by_name[name]["drawn"])
        box = tab.locator(end).bounding_box()
        assert box is not None, f"the page {name} has no {end}"
        clip = {"x": 0, "y": 0, "width": OF_PICTURE.width, "height": box["y"] + box["height"] + MARGIN}
        shot = tab.screenshot(clip=clip, full_page=True)  # type: ignore[arg-type]  # a dictionary of floats
        Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
            ROOT / "docs" / file, optimize=True
        )
    staff.close()


if __name__ == "__main__":
    try:
        main()
    except ServiceError as error:
        sys.exit(f"There are no pictures. {error}")
