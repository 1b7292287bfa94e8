"""A visit: what is kept of it, for how long, and what its pictures are called."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from samples import noise

from relation_adapter.web.exports import result_names
from relation_adapter.web.limits import Limits
from relation_adapter.web.settings import Settings
from relation_adapter.web.uploads import keep_picture, tidy
from relation_adapter.web.visits import (
    IDLE_SECONDS,
    KEPT_SECONDS,
    UNCLAIMED_SECONDS,
    Kept,
    Order,
    Visit,
    Visits,
    folder_bytes,
)

LIMITS = Limits(visit_mib=1, disk_mib=1)


@pytest.fixture
def visits(tmp_path: Path) -> Visits:
    return Visits(tmp_path, LIMITS)


def kept(visit: Visit, path: Path, name: str = "photo.png", seed: int = 0) -> Kept:
    upload = path / name
    noise(320, 200, seed).save(upload)
    return keep_picture(visit, upload, LIMITS)


def order(*sources: Kept) -> Order:
    return Order((), (), sources, Settings())


def test_a_visit_ends_a_while_after_its_page_was_closed(visits: Visits) -> None:
    visit, other = visits.of("one"), visits.of("two")
    assert visits.of("one") is visit
    assert len(visit.token) == 32 and visit.token != other.token
    now = time.monotonic()
    visits.close("one")
    assert visit.stop.is_set()
    visits.sweep(now + KEPT_SECONDS - 5)
    assert visit.folder.is_dir()
    visits.sweep(now + KEPT_SECONDS + 5)
    assert not visit.folder.exists()
    assert visits.by_token(visit.token) is None
    assert visits.by_token(other.token) is other
    visits.sweep(now + IDLE_SECONDS + 5)
    assert not other.folder.exists()


def test_a_page_that_comes_back_and_one_at_work_keep_their_visit(visits: Visits) -> None:
    visit, working = visits.of("one"), visits.of("two")
    visits.close("one")
    visits.close("two")
    working.at_work = True
    visits.of("one")
    visits.sweep(time.monotonic() + KEPT_SECONDS + 5)
    assert visit.folder.is_dir()
    assert working.folder.is_dir()


def test_uploads_that_nobody_used_go_and_fresh_ones_stay(visits: Visits, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.png").write_bytes(b"x")
    before = time.time() - UNCLAIMED_SECONDS - 5
    os.utime(tmp_path / "old" / "photo.png", (before, before))
    visit = visits.of("one")
    visits.sweep()
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "new" / "photo.png").exists()
    assert visit.folder.is_dir()


def test_an_upload_may_vanish_once_it_is_kept(visits: Visits, tmp_path: Path) -> None:
    visit = visits.of("one")
    picture = kept(visit, tmp_path)
    (tmp_path / "photo.png").unlink()
    assert picture.path.is_file() and picture.view.is_file()
    assert (picture.name, picture.size) == ("photo", (320, 200))
    assert picture.path.stat().st_mode & 0o077 == 0 or visit.folder.stat().st_mode & 0o077 == 0


def test_the_oldest_results_make_room_and_what_later_ones_need_stays(visits: Visits, tmp_path: Path) -> None:
    visit = visits.of("one")
    shared, entries = kept(visit, tmp_path), []
    for number in range(8):
        entry = visit.begin(order(shared))
        entry.results[0] = kept(visit, tmp_path, seed=number + 1)
        assert visit.finish(entry)
        entries.append(entry)
    assert folder_bytes(visit.folder) > 1 << 20
    assert visits.is_full()
    visit.make_room(1)
    assert folder_bytes(visit.folder) <= 1 << 20
    assert visit.history[-1] is entries[-1]
    assert 1 < len(visit.history) < 8
    assert not entries[0].results[0].path.exists()
    assert shared.path.exists() and entries[-1].results[0].path.exists()


def test_an_edit_at_work_is_found_and_is_no_history_and_one_without_results_never_is(
    visits: Visits, tmp_path: Path
) -> None:
    visit = visits.of("one")
    source = kept(visit, tmp_path)
    entry = visit.begin(order(source))
    assert visit.entry(entry.number) is entry
    assert visit.history == []
    assert not visit.finish(entry)
    assert visit.entry(entry.number) is None
    assert source.path.exists()


def test_results_are_named_after_their_sources(visits: Visits, tmp_path: Path) -> None:
    visit = visits.of("one")
    names = ["a.png", "A.png", "b.png", "a.png"]
    entry = visit.begin(order(*(kept(visit, tmp_path, name, seed) for seed, name in enumerate(names))))
    entry.results = {index: entry.order.sources[index] for index in (0, 1, 3)}
    assert result_names(entry) == {0: "a.png", 1: "A-2.png", 3: "a-3.png"}


@pytest.mark.parametrize(
    ("name", "tidied"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\été 1.png", "été 1.png"),
        (".hidden", "hidden"),
        ("<b>\x00\n.png", "_b_.png"),
        ("a" * 300 + ".png", "a" * 80 + ".png"),
        ("/", "picture"),
        ("..", "picture"),
    ],
)
def test_names_are_safe_anywhere(name: str, tidied: str) -> None:
    assert tidy(name).replace("__", "") == tidied.replace("__", "")
