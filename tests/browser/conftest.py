"""One browser for all tests, and pages that must send no message and no request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from lesa_framework.measure.page.render import write_page
from tests.browser.chromium import find_chromium
from tests.measure.page.samples import sample_results

_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
Visit = Callable[..., Page]


class Pages:
    """Opens pages, and records their messages and requests."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.said: list[str] = []

    def open(
        self, path: Path, *, width: int = 1280, scheme: str = "light", motion: str = "reduce", touch: bool = False
    ) -> Page:
        context = self._browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion=motion, has_touch=touch
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: self.said.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("request", self._note)
        page.goto(path.as_uri())
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _note(self, request: Request) -> None:
        if not request.url.startswith(("data:", "file:")):
            self.said.append(f"request: {request.url[:200]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(_FLAGS), headless=True)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the made-up results."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(write_page(sample_results()), "utf-8")
    return path


@pytest.fixture(scope="session")
def _opened(browser: Browser, report: Path) -> Iterator[tuple[Pages, Page]]:
    pages = Pages(browser)
    yield pages, pages.open(report)
    pages.close()


@pytest.fixture
def opened(_opened: tuple[Pages, Page]) -> Iterator[Page]:
    """The report as it opens, shared because it takes a second to load: look, but do not change it."""
    pages, page = _opened
    yield page
    assert pages.said == []


@pytest.fixture
def visit(browser: Browser, report: Path) -> Iterator[Visit]:
    """`visit(width=390, scheme="dark")` opens the report; any message or request fails the test."""
    pages = Pages(browser)

    def open_page(path: Path = report, **how: str | int) -> Page:
        return pages.open(path, **how)

    yield open_page
    pages.close()
    assert pages.said == []
