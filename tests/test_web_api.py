"""Edits over HTTP: what programs get, what is refused, and who gets what."""

from __future__ import annotations

import io
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_files import PICTURES
from PIL import Image
from pipelines import pipeline
from samples import noise
from web_server import (
    AFTER,
    BEFORE,
    OTHER,
    PAIR,
    SMALL,
    SOURCE,
    PageClient,
    Server,
    Steps,
    error,
    httpx,
    opened,
    post,
    serving,
    wait_until,
)

from relation_adapter import RelationPipeline
from relation_adapter.errors import UsageError
from relation_adapter.images import open_picture


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as up:
        yield up


def test_an_edit_is_that_of_the_command_line(server: Server) -> None:
    answer = post(server, [*PAIR, ("source", SOURCE)], strength="0.8", seed="7")
    pipe = RelationPipeline.from_pretrained("mini")
    relation = pipe.encode_relation([(open_picture(BEFORE), open_picture(AFTER))])
    wanted = pipe(image=open_picture(SOURCE), relation=relation, strength=0.8, seed=7).images[0]
    assert np.array_equal(np.asarray(opened(answer)), np.asarray(wanted))
    assert answer.headers["content-disposition"].endswith('filename="rocket.png"')
    told = json.loads(answer.headers["x-settings"])
    assert (told["strength"], told["seed"], told["steps"], told["model"]) == (0.8, 7, 1, "mini")


def test_several_sources_come_as_a_zip_that_names_them_and_tells_how(server: Server, tmp_path: Path) -> None:
    twin = ("rocket.png", OTHER.read_bytes())
    answer = post(server, [*PAIR, ("source", SOURCE), ("source", twin)], seed="random")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(archive.namelist()) == ["relation.safetensors", "rocket-2.png", "rocket.png", "settings.json"]
        told = json.loads(archive.read("settings.json"))
        assert Image.open(io.BytesIO(archive.read("rocket-2.png"))).size == Image.open(OTHER).size
        (tmp_path / "look.safetensors").write_bytes(archive.read("relation.safetensors"))
    assert told["results"][1] == {"source": "rocket", "result": "rocket-2.png", "error": None}
    assert 0 <= told["seed"] < 2**31
    loaded = post(server, [("relation", tmp_path / "look.safetensors"), ("source", SOURCE)])
    direct = post(server, [*PAIR, ("source", SOURCE)])
    assert loaded.content == direct.content


def test_a_pair_alone_gives_its_relation_and_two_can_be_mixed(server: Server, tmp_path: Path) -> None:
    first = post(server, PAIR)
    assert first.headers["content-disposition"].endswith('filename="relation.safetensors"')
    (tmp_path / "a.safetensors").write_bytes(first.content)
    swapped = post(server, [("before", AFTER), ("after", OTHER)])
    (tmp_path / "b.safetensors").write_bytes(swapped.content)
    both = [("relation", tmp_path / "a.safetensors"), ("relation", tmp_path / "b.safetensors"), ("source", SOURCE)]
    mixed = post(server, both, relation_strength=["1", "0"])
    alone = post(server, [both[0], ("source", SOURCE)])
    assert mixed.content == alone.content
    half = post(server, both, relation_strength=["0.5", "0.5"])
    assert half.status_code == 200
    assert half.content != alone.content


def test_health(server: Server) -> None:
    told = httpx.get(f"{server.url}health").json()
    assert told["ready"] is True
    assert (told["model"], told["queue"], told["queue_limit"]) == ("mini", 0, SMALL.queue)
    assert told["version"]


WRONG: list[tuple[list[tuple[str, Any]], dict[str, str], str]] = [
    ([("source", SOURCE)], {}, "nothing shows the edit; give before and after, or relation"),
    ([("before", BEFORE), ("source", SOURCE)], {}, "1 before and 0 after; give both of each pair"),
    ([*PAIR, *[("source", SOURCE)] * 4], {}, "4 source files; give from 1 to 3"),
    ([*PAIR, ("source", SOURCE)], {"steps": "1000"}, "steps 1000 is not a whole number from 1 to 100"),
    ([*PAIR, ("source", SOURCE)], {"strength": "nan"}, "strength nan is not from -4 to 4"),
    ([*PAIR, ("source", SOURCE)], {"seed": "-1"}, "seed -1 is not a whole number"),
    ([*PAIR, ("source", SOURCE)], {"size": "4000x4000"}, "size 4000x4000 is too large to work at here; use up to"),
    ([*PAIR, ("source", SOURCE)], {"size": "big"}, "'big' is not a size"),
    ([*PAIR, ("source", SOURCE)], {"size": "own"}, "rocket: size 640x424 is too large to work at here"),
    ([*PAIR, ("sorce", SOURCE)], {}, "field 'sorce' is not known; there are before, after, source"),
    (PAIR, {"source": "rocket.jpg"}, "source is text ('rocket.jpg'); give the file itself"),
    ([*PAIR, ("source", SOURCE), ("relation", ("x.safetensors", b"PK\3\4"))], {}, "x.safetensors: "),
]


@pytest.mark.parametrize(("files", "words", "line"), WRONG, ids=[line for _, _, line in WRONG])
def test_what_cannot_be_done_is_refused_in_one_line(
    server: Server, files: list[tuple[str, Any]], words: dict[str, str], line: str
) -> None:
    answer = post(server, files, **words)
    assert answer.status_code == 400
    assert error(answer).startswith(line)
    assert "\n" not in error(answer)


def test_one_bad_source_among_several_is_named_and_the_others_are_edited(server: Server) -> None:
    answer = post(server, [*PAIR, ("source", SOURCE), ("source", ("wide.png", PICTURES["wide.png"]()))], size="own")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        told = json.loads(archive.read("settings.json"))["results"]
    assert told[1]["result"] == "wide.png"
    assert told[0]["result"] is None
    assert "too large to work at here" in told[0]["error"]


def test_nothing_of_an_edit_is_kept(server: Server) -> None:
    assert post(server, [*PAIR, ("source", SOURCE)]).status_code == 200
    assert error(post(server, [*PAIR, ("source", ("a.png", b"no"))]))
    folder = server.folder / "visits"
    wait_until(lambda: not list(folder.glob("*")))


def test_who_goes_away_stops_the_work(server: Server) -> None:
    steps = Steps(server)
    with pytest.raises(httpx.ReadTimeout):
        post(server, [*PAIR, ("source", SOURCE)], timeout=0.7, steps="100")
    wait_until(lambda: server.studio.turns.edits == 0)
    made = steps.count
    time.sleep(0.5)
    assert 0 < made < 90
    assert steps.count == made
    steps.remove()
    assert post(server, PAIR).status_code == 200  # the model is free again


def test_a_full_queue_asks_to_come_again(server: Server) -> None:
    answers: list[Any] = []

    def ask() -> None:
        answers.append(post(server, [*PAIR, ("source", SOURCE)], steps="25"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200, 200, 503, 503]  # one visitor may have half of the queue
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "30"
    assert "wait already" in error(refused)


def test_two_at_once_get_their_own(server: Server) -> None:
    sources = {index: noise(40 + index, 30, index) for index in range(2)}
    found: dict[int, Image.Image] = {}

    def ask(index: int) -> None:
        buffer = io.BytesIO()
        sources[index].save(buffer, "PNG")
        found[index] = opened(post(server, [*PAIR, ("source", ("same.png", buffer.getvalue()))]))

    threads = [threading.Thread(target=ask, args=(index,)) for index in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {index: image.size for index, image in found.items()} == {0: (40, 30), 1: (41, 30)}


def test_the_page_tells_a_full_queue_and_a_visit_has_one_edit_at_a_time(server: Server) -> None:
    client = PageClient(server.url)
    before, after, source = client.upload(*((path.name, path.read_bytes()) for path in (BEFORE, AFTER, SOURCE)))
    with ExitStack() as taken:
        for name in ("a", "b", "c", "d"):
            taken.enter_context(server.studio.turns.edit(name))
        assert "4 edits wait already, which is all that fit" in client.edit(before, after, [source])
    visit = server.studio.visits.of(client.session)
    visit.at_work = True
    assert "an edit of yours is at work already" in client.edit(before, after, [source])
    visit.at_work = False
    assert client.files(client.edit(before, after, [source]), ".png")


def test_a_pair_of_which_a_picture_is_gone_fails_the_whole_edit_in_one_line(server: Server) -> None:
    client = PageClient(server.url)
    before, after, source = client.upload(*((path.name, path.read_bytes()) for path in (BEFORE, AFTER, SOURCE)))
    list(client.press("before-1", "upload", before_1=before))
    (kept,) = server.studio.visits.of(client.session).pictures.values()
    kept.path.write_bytes(b"")
    told = client.edit({**before, "path": str(kept.view)}, after, [source])
    assert "is empty (0 bytes)" in told
    assert not client.files(told, ".png")


def test_a_relation_keeps_its_strength_when_another_is_taken_away(server: Server) -> None:
    client = PageClient(server.url)
    whole = post(server, PAIR).content
    files = client.upload(("a.safetensors", whole), ("b.safetensors", whole), ("c.safetensors", whole[:-9]))
    told = json.dumps(list(client.press("relation-files", "upload", relation_files=files)))
    assert "c.safetensors: cut short" in told
    left = json.dumps(
        list(client.press("relation-files", "delete", relation_files=files[1:2], weight_1=0.3, weight_2=0.7))
    )
    assert re.search(r'"value": 0.7, [^}]*"Strength of b"|"Strength of b"[^}]*"value": 0.7', left)
    assert "Strength of a" not in left


def test_a_model_with_noise_text_and_a_vae() -> None:
    with serving(pipe=pipeline("directed"), names=["edits.example.org"]) as server:
        for host, code in (("edits.example.org", 200), ("other.example.org", 403)):
            assert httpx.get(f"{server.url}health", headers={"Host": host}).status_code == code
        assert "Instruction" in httpx.get(f"{server.url}config").text
        files = [*PAIR, ("source", ("s.png", PICTURES["good.png"]()))]
        one, again, other = (
            post(server, files, instruction="Add a hat", steps="4", seed=seed, size="32x32") for seed in "112"
        )
        assert opened(one).size == (32, 32)
        assert one.content == again.content != other.content
        told = json.loads(one.headers["x-settings"])
        assert (told["instruction"], told["seed"]) == ("Add a hat", 1)


def test_the_icons_of_the_page_stay_where_uploads_are_swept_away(server: Server) -> None:
    icons = re.findall(r'"url": ?"([^"]+\.jpg)"', httpx.get(f"{server.url}config").text)
    assert len(icons) >= 3
    for folder in server.folder.iterdir():
        for file in folder.rglob("*.jpg"):
            os.utime(file, (0, 0))
    server.sweep()
    assert [httpx.get(icon).status_code for icon in icons] == [200] * len(icons)


def test_what_nobody_foresaw_is_one_line_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(server.studio, "_edit", fail)
    answer = post(server, [*PAIR, ("source", SOURCE)])
    assert answer.status_code == 500
    assert error(answer) == "this failed here; the log of the server tells why"


def test_an_address_that_cannot_be_had_is_told(server: Server) -> None:
    pipe, port = server.studio.pipe, int(server.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(UsageError, match=rf"--host 127.0.0.1 --port {port}: Address already in use; choose another"):
        Server(pipe, "mini", server.studio.limits, "127.0.0.1", port)
    with pytest.raises(UsageError, match=r"--host 999.1.1.1: .*; give a name or an address of this machine"):
        Server(pipe, "mini", server.studio.limits, "999.1.1.1", port)
