"""Quads files: both forms, every way a line can be bad, and writing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from relation_adapter.data.schema import Quad, read_quads, write_quads
from relation_adapter.errors import QuadsError

LINE = {"before": "a/1.png", "after": "a/2.png", "source": "a/3.png"}


def quads_file(folder: Path, *lines: object) -> Path:
    path = folder / "quads.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def refused(path: Path) -> str:
    """The one line that reading `path` gives; it names the file."""
    with pytest.raises(QuadsError) as caught:
        read_quads(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    full = LINE | {
        "target": "b/./../a/4.png",
        "instruction": "抬起手臂",
        "task": "Raise Arms",
        "category": "editing",
        "split": "seen",
    }
    first, second = read_quads(quads_file(tmp_path, full, LINE))
    assert first.before == tmp_path / "a/1.png"
    assert first.target is not None and first.target.resolve() == (tmp_path / "a/4.png").resolve()
    assert (first.instruction, first.task, first.category, first.split) == ("抬起手臂", "Raise Arms", "editing", "seen")
    assert second == Quad(tmp_path / "a/1.png", tmp_path / "a/2.png", tmp_path / "a/3.png")


def test_null_is_not_given(tmp_path: Path) -> None:
    quad = read_quads(quads_file(tmp_path, LINE | {"target": None, "instruction": None, "split": None}))[0]
    assert quad.target is None and quad.instruction is None and quad.split is None
    assert "quads.jsonl:1: source is missing" in refused(quads_file(tmp_path, LINE | {"source": None}))


PUBLISHED = {"cond1": "1.jpg", "cond2": "2.jpg", "source": "3.jpg", "target": "4.jpg", "text": "close the eyes"}


@pytest.mark.parametrize("as_array", [False, True])
def test_the_published_form(tmp_path: Path, as_array: bool) -> None:
    path = quads_file(tmp_path, PUBLISHED, PUBLISHED)
    if as_array:
        path.write_text("\n " + json.dumps([PUBLISHED, PUBLISHED], indent=2))
    before, after, source, target = (tmp_path / f"{n}.jpg" for n in (1, 2, 3, 4))
    expected = Quad(before, after, source, target, instruction="close the eyes")
    assert read_quads(path) == [expected, expected]


def test_the_two_forms_do_not_mix(tmp_path: Path) -> None:
    assert "unknown key 'before'" in refused(quads_file(tmp_path, PUBLISHED | {"before": "x.png"}))
    assert "cond2 is missing" in refused(quads_file(tmp_path, {k: v for k, v in PUBLISHED.items() if k != "cond2"}))


def test_an_array_names_the_item(tmp_path: Path) -> None:
    path = tmp_path / "quads.json"
    path.write_text(json.dumps([PUBLISHED, PUBLISHED | {"cond1": 5}]))
    assert "item 2: cond1 is 5" in refused(path)
    path.write_text(json.dumps([PUBLISHED])[:-3])
    assert "not valid JSON" in refused(path)


def test_marks_blank_lines_and_crlf(tmp_path: Path) -> None:
    path = tmp_path / "quads.jsonl"
    line = json.dumps(LINE).encode()
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n" + line)
    assert len(read_quads(path)) == 2


def test_line_separators_inside_text_do_not_split(tmp_path: Path) -> None:
    path = tmp_path / "quads.jsonl"
    path.write_text(
        json.dumps(LINE | {"instruction": "one\u2028two\x85three"}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    assert read_quads(path)[0].instruction == "one\u2028two\x85three"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (LINE | {"instructoin": "x"}, "unknown key 'instructoin'; did you mean 'instruction'?"),
        (LINE | {"zzz": 1}, "unknown key 'zzz'; use one of before, after"),
        ({"before": "1.png", "source": "3.png"}, "after is missing; every quad needs before, after, source"),
        (LINE | {"source": 7}, "source is 7; it must be text"),
        (LINE | {"instruction": ["x"]}, "instruction is ['x']; it must be text"),
        (LINE | {"category": "styles"}, "category is 'styles'; did you mean 'style'?"),
        (LINE | {"split": "test"}, "split is 'test'; use one of train, seen, unseen"),
        (LINE | {"source": "/etc/x.png"}, "source is '/etc/x.png', an absolute path"),
        (LINE | {"source": "C:\\x.png"}, "an absolute path"),
        (LINE | {"source": "\\\\server\\x.png"}, "an absolute path"),
        (LINE | {"source": "../x.png"}, "source is '../x.png', outside of"),
        (LINE | {"source": "a/../../x.png"}, "outside of"),
        (LINE | {"source": "..\\x.png"}, "outside of"),
        (LINE | {"target": ""}, "target is '', which names no file"),
        (LINE | {"source": "."}, "which names no file"),
        (LINE | {"source": "a/.."}, "which names no file"),
        (LINE | {"source": "a\0b.png"}, "no text"),
        (LINE | {"instruction": "\ud800"}, "no text"),
        ("text", "'text' is not an object"),
        (None, "None is not an object"),
        (LINE | {"task": {"k": "v" * 500}}, "...; it must be text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, says: str) -> None:
    message = refused(quads_file(tmp_path, LINE, line))
    assert message.startswith(f"{tmp_path / 'quads.jsonl'}:2: ")
    assert says in message
    assert len(message) < len(str(tmp_path)) + 200


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"before": "a', ":1: not valid JSON"),
        (b'\n\n{"before": tru}\n', ":3: not valid JSON"),
        (b"\n" + b'{"a":' * 100_000, ":2: not valid JSON"),
        (b'\n{"task": "\xe9t\xe9"}', ":2: byte 11 is not UTF-8"),
        ('{"before": "a"}'.encode("utf-16"), ":1: byte 1 is not UTF-8"),
        (b"\n" + b"x" * 2_000_000, ":2: longer than 1,000,000 bytes"),
        (b"", "holds no quads"),
        (b"\r\n \n", "holds no quads"),
        (b"[]", "holds no quads"),
    ],
)
def test_bad_bytes_are_named(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "quads.jsonl").write_bytes(data)
    assert says in refused(tmp_path / "quads.jsonl")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.jsonl")
    assert "cannot be read" in refused(tmp_path)


def test_written_quads_read_back_from_anywhere(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    full = Quad(
        folder / "1.png", folder / "b/2.png", folder / "3.png", folder / "4.png", "do 它", "Task", "style", "unseen"
    )
    bare = Quad(folder / "1.png", folder / "2.png", folder / "3.png")
    write_quads(folder / "quads.jsonl", [full, bare])
    assert read_quads(folder / "quads.jsonl") == [full, bare]
    lines = (folder / "quads.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1]) == {"before": "1.png", "after": "2.png", "source": "3.png"}
    assert "它" in lines[0]
    folder.rename(tmp_path / "moved")
    assert read_quads(tmp_path / "moved" / "quads.jsonl")[1].before == tmp_path / "moved" / "1.png"


def test_writing_refuses_what_reading_would(tmp_path: Path) -> None:
    path = tmp_path / "set" / "quads.jsonl"
    with pytest.raises(QuadsError, match="outside"):
        write_quads(path, [Quad(tmp_path / "1.png", tmp_path / "2.png", tmp_path / "3.png")])
    assert not path.exists()


def test_a_quad_is_a_value() -> None:
    quad = Quad(Path("1"), Path("2"), Path("3"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        quad.task = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Quad(Path("1"), Path("2"), Path("3"), other=1)  # type: ignore[call-arg]
