"""What hostile uploads, names and pages of other sites come to: one clear line, and no harm."""

from __future__ import annotations

import http.client
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bad_files import PICTURES
from PIL import Image
from web_server import AFTER, BEFORE, PAIR, SOURCE, PageClient, Server, error, httpx, opened, post, serving

from relation_adapter import Relation


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as up:
        yield up


HOSTILE = {
    "bomb.png": "pixels; make the picture smaller",
    "large.png": "11000x10000 is more than 4,000,000 pixels",
    "text.png": "not a picture in a known format",
    "empty.png": "is empty",
    "truncated.jpg": "damaged or cut short",
    "corrupt.png": "damaged or cut short",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_are_refused_by_the_name_they_came_by(server: Server, name: str) -> None:
    for field in ("before", "source"):
        files = [("after", AFTER), *([("before", BEFORE)] if field == "source" else [("source", SOURCE)])]
        answer = post(server, [*files, (field, (f"../../etc/{name}", PICTURES[name]()))])
        assert answer.status_code == 400
        assert error(answer).startswith(f"{name}: ")
        assert HOSTILE[name] in error(answer)
        assert str(server.folder) not in error(answer)


@pytest.mark.parametrize(
    "name", ["animated.gif", "cmyk.jpg", "sixteen.png", "palette.png", "transparent.png", "dot.png"]
)
def test_odd_pictures_are_edited(server: Server, name: str) -> None:
    odd = PICTURES[name]()
    assert opened(post(server, [*PAIR, ("source", (name, odd))])).size == Image.open(io.BytesIO(odd)).size


def test_a_name_that_leads_elsewhere_is_only_a_name(server: Server) -> None:
    name = "../../../tmp/evil\x01/..\\..\\b<script>.png"
    answer = post(server, [*PAIR, ("source", (name, PICTURES["good.png"]()))])
    told = json.loads(answer.headers["x-settings"])["results"][0]
    assert told["result"] == told["source"] + ".png"
    assert not {"/", "\\", "<", "\x01"} & set(told["result"])


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "is empty"),
        (b"\x80\x04pickle", "a pickle, which could run code"),
        ((2**40).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        (
            json.dumps({"tokens": {"dtype": "F32", "shape": [1, 10**9, 10**9], "data_offsets": [0, 4]}}).encode(),
            "broken",
        ),
        (
            json.dumps({"tokens": {"dtype": "F32", "shape": [1, 5000, 1], "data_offsets": [0, 20000]}}).encode(),
            "5000 tok",
        ),
        (
            json.dumps({"tokens": {"dtype": "F32", "shape": [1, 1, 1], "data_offsets": [0, 4]}}).encode(),
            "not a relation",
        ),
    ],
    ids=["empty", "pickle", "header", "shape", "tokens", "format"],
)
def test_hostile_relation_files_are_refused(server: Server, data: bytes, line: str) -> None:
    if data.startswith(b"{"):
        data = len(data).to_bytes(8, "little") + data + bytes(20_000 if b"5000" in data else 4)
    answer = post(server, [("relation", ("../look.safetensors", data)), ("source", SOURCE)])
    assert answer.status_code == 400
    assert error(answer).startswith("look.safetensors: ")
    assert line in error(answer)


def test_a_relation_cut_short_or_of_another_model_is_refused(server: Server, tmp_path: Path) -> None:
    whole = post(server, PAIR).content
    cut = post(server, [("relation", ("cut.safetensors", whole[:-100])), ("source", SOURCE)])
    assert "cut.safetensors: cut short, 100 of" in error(cut)
    (tmp_path / "look.safetensors").write_bytes(whole)
    relation = Relation.load(tmp_path / "look.safetensors")
    replace(relation, provenance={**relation.provenance, "design": "0" * 16}).save(tmp_path / "other.safetensors")
    other = post(server, [("relation", tmp_path / "other.safetensors"), ("source", SOURCE)])
    assert "was encoded by another model" in error(other)


def test_large_uploads_end_before_they_are_read(server: Server) -> None:
    one = post(server, [*PAIR, ("source", ("big.png", bytes(3 << 20)))])
    assert error(one) == "big.png: more than 2 MiB, the most for one file here"
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rstrip("/").rpartition(":")[2]), timeout=20)
    connection.putrequest("POST", "/api/edit")
    connection.putheader("Content-Length", str(1 << 40))
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"more than 16 MiB at once" in answer.read()
    many = post(server, [*PAIR, *[("source", (f"{index}.png", b"x")) for index in range(60)]])
    assert many.status_code == 400
    assert "Too many files" in error(many)


def test_a_body_without_a_length_is_refused_once_it_is_too_large(server: Server) -> None:
    def long() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="source"; filename="a.png"\r\n\r\n'
        yield from (bytes(1 << 20) for _ in range(20))

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for path in ("api/edit", "gradio_api/upload"):
        answer = httpx.post(f"{server.url}{path}", content=long(), headers=headers, timeout=30)
        assert answer.status_code == 413
    assert httpx.get(f"{server.url}health").json()["ready"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "elsewhere.example"}, 403),
        ({"Origin": "http://localhost:1234", "Host": "localhost:80"}, 400),
        ({}, 400),
    ],
)
def test_pages_of_other_sites_cannot_use_it(server: Server, headers: dict[str, str], code: int) -> None:
    answer = httpx.post(f"{server.url}api/edit", data={"steps": "1"}, headers=headers)
    assert answer.status_code == code
    assert answer.headers.get("access-control-allow-origin") != "https://elsewhere.example"


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=http://127.0.0.1/",
        "gradio_api/proxy=http://127.0.0.1/",
        "gradio_api/run-history/buckets",
        "gradio_api/deep_link?session_hash=a",
        "monitoring",
        "visit/guess/0123456789ab.png",
        "visit/../visits",
        "docs",
    ],
)
def test_nothing_else_is_given_out(server: Server, path: str) -> None:
    assert httpx.get(f"{server.url}{path}").status_code in (403, 404)


def test_the_library_offers_no_second_way(server: Server) -> None:
    told = httpx.get(f"{server.url}gradio_api/info").json()
    assert told == {"named_endpoints": {}, "unnamed_endpoints": {}}


def test_a_page_can_neither_read_files_of_the_server_nor_of_another_visit_nor_make_it_fetch(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "secret.png").write_bytes(PICTURES["good.png"]())
    victim = PageClient(server.url)
    (theirs,) = victim.upload(("theirs.png", PICTURES["good.png"]()))
    shown = json.dumps(list(victim.press("before-1", "upload", before_1=theirs)))
    view = re.findall(r"[^\"]+/visits/[^\"]+\.view\.jpg", shown)[0]
    attacker = PageClient(server.url)
    before, after = attacker.upload(("b.png", BEFORE.read_bytes()), ("a.png", AFTER.read_bytes()))
    for path in (str(tmp_path / "secret.png"), "/etc/passwd", view, str(server.folder), "http://127.0.0.1:1/a.png"):
        stolen = {"path": path, "meta": {"_type": "gradio.FileData"}}
        told = attacker.edit(before, after, [stolen])
        assert not attacker.files(told, ".png"), path
        assert not attacker.files(told, ".zip"), path
    assert victim.http.get("gradio_api/file=" + str(tmp_path / "secret.png")).status_code == 403


def test_the_form_of_the_page_is_checked_again_by_the_server(server: Server) -> None:
    client = PageClient(server.url)
    before, after, *sources = client.upload(*((f"{index}.png", BEFORE.read_bytes()) for index in range(7)))
    assert "5 sources and 0 relations; the most for one edit here are 3" in client.edit(before, after, sources)
    assert "Value 1e+30 is greater than maximum value 2" in client.edit(before, after, sources[:1], strength=1e30)
    assert "pair 2 has no before" in client.edit(before, after, sources[:1], after_2=after)
    assert "is too large to work at here" in client.edit(before, after, sources[:1], size="5000x5000")
    script = "<img src=x onerror=alert(1)>.png"
    (odd,) = client.upload((script, SOURCE.read_bytes()))
    assert "<img src=x" not in client.edit(before, after, [odd]).replace("\\u003c", "<")


def test_an_upload_of_the_page_that_is_too_large_is_refused(server: Server) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="413"):
        PageClient(server.url).upload(("big.png", bytes(3 << 20)))
    assert not [path for path in server.folder.rglob("*") if path.is_file() and path.stat().st_size > 2 << 20]


def test_a_full_disk_takes_no_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.studio.visits, "is_full", lambda: True)
    answer = post(server, [*PAIR, ("source", SOURCE)])
    assert answer.status_code == 507
    assert error(answer) == "the disk of this server is full; try again later"
    with pytest.raises(httpx.HTTPStatusError, match="507"):
        PageClient(server.url).upload(("a.png", PICTURES["good.png"]()))
