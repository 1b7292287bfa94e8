"""A visitor of the page in a real browser: Debian's Chromium, without a screen."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from web_server import AFTER, BEFORE, SOURCE, Server

sync_api = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright, which is not here")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
if not Path(CHROMIUM).exists():
    pytest.skip(f"no browser at {CHROMIUM}; CHROMIUM=PATH names another", allow_module_level=True)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 375, "height": 812}


@contextmanager
def browsing() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Somebody with a page of the server open."""

    def __init__(self, browser: Any, server: Server, size: dict[str, int] = DESKTOP, **options: Any) -> None:
        self.server, self.asked, self.complaints = server, [], []
        self.context = browser.new_context(viewport=size, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda told: told.type == "error" and self.complaints.append(told.text))
        self.page.goto(server.url)
        self.button("Edit").wait_for()

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def drop(self, where: str, *files: Path) -> None:
        """Drop files on a part of the page, and wait until the last one is shown."""
        part = self.page.locator(f"#{where}")
        part.locator("input[type=file]").first.set_input_files([str(file) for file in files])

    def drop_pair(self, before: Path = BEFORE, after: Path = AFTER, number: int = 1) -> None:
        for side, file in (("before", before), ("after", after)):
            self.drop(f"{side}-{number}", file)
            self.page.locator(f"#{side}-{number} img").wait_for()

    def drop_sources(self, *files: Path) -> None:
        self.drop("sources", *(files or (SOURCE,)))
        self.page.locator("#sources .thumbnail-item").nth(len(files or (SOURCE,)) - 1).wait_for()

    def edit(self) -> None:
        made = self.page.locator("#history .thumbnail-item")
        count = made.count()
        self.button("Edit").click()
        made.nth(count).wait_for()
        self.told("Done")

    def told(self, text: str) -> None:
        """Wait until the status says so."""
        self.page.locator("#status", has_text=text).wait_for()

    def refused(self, line: str) -> None:
        """Wait until the page says so, as what went wrong."""
        self.page.get_by_role("alert").get_by_text(line).wait_for()

    def result(self) -> Image.Image:
        """The whole result that is shown, as its link gives it."""
        return Image.open(io.BytesIO(self.save("Download picture").read_bytes()))

    def save(self, link: str) -> Path:
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name=link).click()
        return Path(download.value.path())

    def set_number(self, where: str, value: str) -> None:
        """Type a number beside a slider of the settings, as often as it takes: what was just unfolded is slow."""
        part = self.page.locator(f"#{where}")
        for _ in range(20):
            part.locator("input[type=number]").fill(value)
            part.locator("input[type=number]").press("Enter")
            self.page.wait_for_timeout(100)
            if part.locator("input[type=range]").input_value() == value:
                return
        raise AssertionError(f"{where} does not take {value}")

    def open(self, name: str) -> None:
        """Unfold a part of the form."""
        self.page.get_by_role("button", name=name).click()

    def leave(self) -> None:
        self.context.close()
