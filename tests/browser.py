"""Debian's Chromium as fixtures: a page with a logged-in superuser, which notices faults and counts clicks."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, Page, Request, Response, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

CHROMIUM = shutil.which("chromium")
REQUIRED = os.environ.get("REQUIRE_BROWSER") == "1"
ABORTED = "net::ERR_ABORTED"  # the user went on to another page, or the answer is a download
PASSWORD = "of a test"  # noqa: S105


@dataclass
class Watched:
    """A page, and the faults noticed on it."""

    page: Page
    server: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._note(message.text if message.type in ("error", "warning") else ""))
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("requestfailed", self._check_failure)
        self.page.on("request", self._check_host)
        self.page.on("response", self._check_status)

    def open(self, address: str) -> None:
        """Opens the address."""
        self.page.goto(self.server + address)

    def _check_failure(self, request: Request) -> None:
        if request.failure != ABORTED:
            self._note(f"failed: {request.url}")

    def _check_host(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in ("", urlsplit(self.server).netloc):
            self._note(f"another host: {request.url}")

    def _check_status(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"{response.status}: {response.url}")

    def _note(self, fault: str) -> None:
        if fault:
            self.faults.append(fault)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        if REQUIRED:
            pytest.fail("REQUIRE_BROWSER=1, but there is no chromium on the PATH.")
        pytest.skip("There is no chromium on the PATH.")
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright's event loop runs in the thread of the tests' queries
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def staff_page(browser: Browser, live_server: LiveServer) -> Iterator[Watched]:
    """A page with a logged-in superuser. Faults noticed on it fail the test at its end."""
    User.objects.create_superuser("ana", password=PASSWORD)
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        watched = Watched(context.new_page(), live_server.url)
        watched.open(reverse("admin:login"))
        watched.page.get_by_label("Username").fill("ana")
        watched.page.get_by_label("Password").fill(PASSWORD)
        watched.page.get_by_role("button", name="Log in").click()
        expect(watched.page.get_by_role("heading", name="stockpred")).to_be_visible()
        yield watched
    assert watched.faults == []
