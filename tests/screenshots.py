"""`make screenshots`: writes docs/service.png from a private service on simulated prices."""

import io
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from forecasting.runtime.private_service import PrivateService, ServiceError

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "service.png"
SYMBOLS = ["SAMPLE1", "SAMPLE2"]
USERNAME = "admin"
TRAINING_SECONDS = 900
WIDTH, HEIGHT = 1100, 1200  # CSS pixels of the browser's window
COLOURS = 64


def main() -> None:
    """Trains two symbols and photographs the first one's version in the admin."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no chromium on the PATH. On Debian: apt-get install chromium")
    password = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory() as folder, PrivateService(Path(folder), prices=None) as service:
        service.until_up()
        service.until("the trainings", lambda: trained(service.post("check", symbols=SYMBOLS)), seconds=TRAINING_SECONDS)
        user = {"DJANGO_SUPERUSER_USERNAME": USERNAME, "DJANGO_SUPERUSER_PASSWORD": password, "DJANGO_SUPERUSER_EMAIL": ""}
        service.manage("createsuperuser", "--noinput", **user)
        (version,) = service.get(f"versions?symbol={SYMBOLS[0]}&state=active")["results"]
        photograph(chromium, f"{service.url}/admin/forecasting/modelversion/{version['id']}/change/", password)


def trained(answers: list[dict[str, Any]]) -> bool:
    """Whether every symbol has a model of its own; raises ServiceError if one cannot be trained."""
    if failed := [answer["message"] for answer in answers if not answer["model_exists"] and not answer["training"]]:
        raise ServiceError(failed[0])
    return all(answer["model_exists"] for answer in answers)


def photograph(chromium: str, address: str, password: str) -> None:
    """Logs in and saves the page from its top to the end of the table of skill."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(address)
        page.get_by_label("Username").fill(USERNAME)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        skill = page.locator(".form-row", has_text="Skill:").bounding_box()
        assert skill is not None, "the page has no table of skill"
        picture = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": skill["y"] + skill["height"]})
        browser.close()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    try:
        main()
    except ServiceError as error:
        sys.exit(f"There is no picture. {error}")
