"""The page from end to end, in a real browser on a real server with the model that ships."""

from __future__ import annotations

import json
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_files import PICTURES
from browser import PHONE, Visitor, browsing
from PIL import Image
from web_server import AFTER, BEFORE, OTHER, SOURCE, Server, Steps, httpx, serving, wait_until

from relation_adapter import Relation
from relation_adapter.images import open_picture
from relation_adapter.web.visits import KEPT_SECONDS


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as up:
        yield up


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as made:
        yield made


@pytest.fixture
def visitor(browser: Any, server: Server) -> Iterator[Visitor]:
    made = Visitor(browser, server)
    yield made
    made.leave()


def mean(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L"), float).mean())


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and np.array_equal(np.asarray(a), np.asarray(b))


def test_a_pair_is_dropped_an_edit_is_made_and_the_result_is_beside_its_source(visitor: Visitor) -> None:
    visitor.drop_pair()
    visitor.drop_sources()
    visitor.edit()
    source, result = open_picture(SOURCE), visitor.result()
    assert result.size == source.size
    assert abs(mean(result) - (255 - mean(source))) < 20  # the pair shows a negative
    slider = visitor.page.get_by_role("slider", name="How much of the source is seen")
    slider.fill("10")
    shown = visitor.page.locator(".ra-result").evaluate("picture => getComputedStyle(picture).clipPath")
    assert "10%" in shown
    assert not [url for url in visitor.asked if not url.startswith((visitor.server.url, "data:", "blob:"))]
    assert not visitor.complaints


def test_a_wrong_file_is_told_at_once_and_the_rest_stays(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "note.png").write_bytes(PICTURES["text.png"]())
    (tmp_path / "bomb.png").write_bytes(PICTURES["bomb.png"]())
    visitor.drop("before-1", tmp_path / "note.png")
    visitor.refused("note.png: not a picture in a known format; give a PNG, JPEG or WebP file")
    assert visitor.page.locator("#before-1 img").count() == 0
    visitor.drop("sources", tmp_path / "bomb.png", SOURCE)
    visitor.refused("bomb.png: ")
    assert visitor.page.locator("#sources .thumbnail-item").count() == 1
    visitor.button("Edit").click()
    visitor.refused("nothing shows the edit; drop a before and an after, or load a relation")


def begin_long(visitor: Visitor, server: Server) -> Steps:
    visitor.drop_pair()
    visitor.drop_sources(SOURCE, OTHER)
    visitor.open("Settings")
    visitor.set_number("steps", "100")
    steps = Steps(server)
    visitor.button("Edit").click()
    return steps


def test_cancel_stops_the_work_itself(visitor: Visitor, server: Server) -> None:
    steps = begin_long(visitor, server)
    visitor.page.get_by_alt_text("preview").wait_for()
    visitor.told("Picture 1 of 2: step")
    visitor.button("Cancel").click()
    visitor.told("Stopped. 0 of 2 edited.")
    made = steps.count
    wait_until(lambda: server.studio.turns.edits == 0)
    visitor.set_number("steps", "1")
    visitor.edit()  # at once: nothing is in its way
    steps.remove()
    assert 0 < made < 100
    assert steps.count <= made + 4  # one step for each source, and its pass over the source
    assert visitor.button("Cancel").count() == 0


def test_a_page_that_is_closed_stops_its_work(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server)
    steps = begin_long(visitor, server)
    visitor.told("Picture 1 of 2: step")
    visitor.leave()
    wait_until(lambda: server.studio.turns.edits == 0)
    made = steps.count
    server.studio.turns.ask("next", lambda: None).future.result(10)  # the model is free
    steps.remove()
    assert steps.count <= made + 1
    assert made < 150


def test_relations_are_saved_loaded_and_mixed(visitor: Visitor, browser: Any, server: Server, tmp_path: Path) -> None:
    visitor.drop_pair()
    visitor.button("Edit").click()  # no source: the relation is read
    visitor.told("The relation is read")
    visitor.save("Save relation").rename(tmp_path / "negative.safetensors")
    visitor.drop_sources()
    visitor.edit()
    direct = visitor.result()

    other = Visitor(browser, server)
    other.drop_sources()
    other.open("Saved relations")
    (tmp_path / "bad.safetensors").write_bytes(b"PK\x03\x04, and more of it")
    other.drop("relation-files", tmp_path / "bad.safetensors")
    other.refused("bad.safetensors: not a safetensors file but a pickle, which could run code")
    other.drop("relation-files", tmp_path / "negative.safetensors")
    other.page.get_by_text("Strength of negative").wait_for()
    other.edit()
    assert same(other.result(), direct)
    other.drop_pair(AFTER, BEFORE)  # and the other way round beside it
    other.set_number("weight-1", "0")
    other.edit()
    alone = other.result()
    other.set_number("weight-1", "0.5")
    other.edit()
    mixed = other.result()
    other.leave()
    assert not same(mixed, alone)
    assert not same(mixed, direct)


def test_history_puts_back_what_an_edit_was_made_of(visitor: Visitor) -> None:
    visitor.drop_pair()
    visitor.drop_sources(SOURCE, OTHER)
    visitor.open("Settings")
    visitor.set_number("strength", "0.5")
    visitor.edit()
    with zipfile.ZipFile(visitor.save("Download all (zip)")) as archive:
        told = json.loads(archive.read("settings.json"))
        assert sorted(archive.namelist()) == ["coffee.png", "relation.safetensors", "rocket.png", "settings.json"]
    assert (told["strength"], told["steps"], told["model"]) == (0.5, 1, "mini")
    first = visitor.result()
    visitor.page.locator("#results .thumbnail-item").first.click()
    visitor.page.get_by_text("rocket · 640").wait_for()
    assert not same(visitor.result(), first)

    visitor.page.locator("#example-brighten").click()
    visitor.page.locator("#before-1 img").wait_for()
    visitor.set_number("strength", "1")
    visitor.edit()
    visitor.page.locator("#history .thumbnail-item").nth(1).wait_for()
    visitor.page.locator("#history .thumbnail-item").nth(1).click()
    visitor.page.get_by_text("rocket · 640").wait_for()
    assert visitor.page.locator("#strength input[type=number]").input_value() == "0.5"
    visitor.edit()
    with zipfile.ZipFile(visitor.save("Download all (zip)")) as archive:
        again = json.loads(archive.read("settings.json"))
        assert same(Image.open(archive.open("coffee.png")), first)
    assert again == told


def test_two_visitors_never_see_each_others_pictures(browser: Any, server: Server) -> None:
    one, two = Visitor(browser, server), Visitor(browser, server)
    for visitor, source in ((one, SOURCE), (two, OTHER)):
        visitor.drop_pair()
        visitor.drop_sources(source)
    for visitor in (one, two):
        visitor.button("Edit").click()
    for visitor, source in ((one, SOURCE), (two, OTHER)):
        visitor.told("Done")
        assert visitor.result().size == Image.open(source).size
    assert two.page.locator("#history .thumbnail-item").count() == 1
    mine = {url for url in one.asked if "/visit/" in url or "/visits/" in url}
    assert mine
    assert not mine & set(two.asked)
    tokens = {token for url in mine for token in url.split("/") if len(token) == 32}
    assert len(tokens) == 1
    assert not [url for url in two.asked if tokens.copy().pop() in url]
    one.leave()
    visits = server.studio.visits
    wait_until(lambda: [visit for visit in visits._visits.values() if visit.closed])
    assert all(httpx.get(url).status_code == 200 for url in mine)  # for a little while: a phone that sleeps comes back
    visits.sweep(time.monotonic() + KEPT_SECONDS + 1)
    assert all(httpx.get(url).status_code in (403, 404) for url in mine)
    assert two.result().size == Image.open(OTHER).size
    two.leave()


def test_who_waits_is_told_how_many_come_first_and_may_cancel(browser: Any, server: Server) -> None:
    begun, go = threading.Event(), threading.Event()
    server.studio.turns.ask("somebody", lambda: (begun.set(), go.wait(20)))
    server.studio.turns.ask("another", lambda: None)
    visitor = Visitor(browser, server)
    visitor.drop_pair()
    visitor.drop_sources()
    visitor.button("Edit").click()
    visitor.told("Waiting, 1 picture before yours")
    visitor.button("Cancel").click()
    visitor.told("Stopped.")
    go.set()
    visitor.edit()
    visitor.leave()


def test_several_pairs_make_one_relation(visitor: Visitor, tmp_path: Path) -> None:
    visitor.drop_pair()
    visitor.button("Another pair").click()
    visitor.drop_pair(AFTER, BEFORE, number=2)
    visitor.drop_sources()
    visitor.edit()
    relation = Relation.load(visitor.save("Save relation").rename(tmp_path / "two.safetensors"))
    assert len(relation.provenance["pairs"]) == 2
    visitor.page.locator("#before-2").get_by_label("Remove Image").click()
    visitor.page.locator("#history .thumbnail-item").click()
    visitor.page.locator("#before-2 img").wait_for()
    visitor.button("Another pair").click()
    visitor.page.locator("#before-3").wait_for()


def test_a_picture_is_pasted(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, permissions=["clipboard-read", "clipboard-write"])
    visitor.page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), {width: 60, height: 40});
            canvas.getContext("2d").fillRect(0, 0, 30, 40);
            const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
            await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
        }"""
    )
    for part in ("before-1", "after-1"):
        visitor.page.locator(f"#{part}").get_by_label("Paste from clipboard").click()
        visitor.page.locator(f"#{part} img").wait_for()
    visitor.page.locator("#sources").get_by_label("Paste from clipboard").click()
    visitor.page.locator("#sources .thumbnail-item").wait_for()
    visitor.edit()
    assert visitor.result().size == (60, 40)
    visitor.leave()


def test_the_keyboard_alone_is_enough(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server)
    page = visitor.page

    def focused() -> str:
        return str(page.evaluate(FOCUSED))

    def tab_to(text: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if text in focused():
                style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert style == "solid", f"nothing shows that the keyboard is on {text}"
                return
        raise AssertionError(f"the keyboard does not reach {text}")

    def choose(part: str, file: Path) -> None:
        tab_to(part)
        choosers: list[Any] = []
        page.once("filechooser", lambda chooser: choosers.append(chooser))
        for attempt in range(60):  # now and then Chromium opens none for a key, though the page asked for it
            if attempt % 15 == 0 and not choosers:
                page.keyboard.press("Enter")
            if choosers:
                break
            page.wait_for_timeout(100)
        choosers[0].set_files(str(file))
        page.locator(f"#{part.split()[0]} img[src*=visits]").wait_for()  # what the server made of it

    page.wait_for_timeout(500)  # seen before it answers
    choose("before-1 Drop", BEFORE)
    choose("after-1 Drop", AFTER)
    choose("sources Click to upload", SOURCE)
    tab_to("edit Edit")
    page.keyboard.press("Enter")
    visitor.told("Done")
    tab_to("settings Settings")
    page.keyboard.press("Enter")
    tab_to("strength range")
    tab_to("figure How much of the source is seen")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.value") == "49"
    tab_to("figure Download picture")
    with page.expect_download():
        page.keyboard.press("Enter")
    tab_to("history")
    visitor.leave()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_all_fits_and_can_be_read(browser: Any, server: Server, scheme: str) -> None:
    visitor = Visitor(browser, server, PHONE, color_scheme=scheme, has_touch=True)
    visitor.page.locator("#example-sepia").click()
    visitor.page.locator("#sources .thumbnail-item").wait_for()
    visitor.edit()
    for name in ("Settings", "Saved relations"):
        visitor.open(name)
    visitor.page.locator("#relation-files").wait_for()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    contrasts = visitor.page.evaluate(CONTRASTS)
    assert len(contrasts) > 15
    assert not {text: contrast for text, contrast in contrasts.items() if contrast < 4.5}
    visitor.leave()


FOCUSED = """() => {
    const element = document.activeElement;
    const parts = ["before-1", "after-1", "sources", "edit", "settings", "strength", "figure", "history"];
    const part = element.closest(parts.map((name) => "#" + name).join());
    return `${part?.id} ${element.getAttribute("aria-label") || element.innerText}`;
}"""
# Every text that is seen, and how it stands out from what is behind it (WCAG 2.2, contrast ratio).
CONTRASTS = """() => {
    const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => channels(colour).slice(0, 3).map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const colour = channels(getComputedStyle(e).backgroundColor);
            if (colour.length < 4 || colour[3] > 0.5) return getComputedStyle(e).backgroundColor;
        }
        return "rgb(255, 255, 255)";
    };
    const found = {};
    for (const e of document.querySelectorAll(".gradio-container *")) {
        const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
        if (!text || !e.checkVisibility({visibilityProperty: true, opacityProperty: true}) || !e.offsetHeight) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
        found[text.slice(0, 40)] = (a + 0.05) / (b + 0.05);
    }
    return found;
}"""
