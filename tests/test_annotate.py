"""Pairs annotated over a real server on this machine that misbehaves; through the command line where a user would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_vlm import FakeVlm, serving
from PIL import Image
from samples import noise

from relation_adapter.cli import main
from relation_adapter.data.annotate import AnnotateOptions, annotate
from relation_adapter.data.pairs import PairRow, read_pairs, write_pairs
from relation_adapter.data.strips import strip
from relation_adapter.errors import QuadsError
from relation_adapter.vlm import Limits, Server, ServerOptions, Vlm, load_prompt, open_journal

COUNT = 12


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_some(tmp_path / "set", COUNT)


def write_some(folder: Path, count: int, **fields: Any) -> Path:
    """Pairs of two folders in turn."""
    rows = []
    for number in range(count):
        task = folder / ("first" if number % 2 else "second")
        task.mkdir(parents=True, exist_ok=True)
        before, after = task / f"{number}_before.png", task / f"{number}_after.png"
        noise(40, 30, 2 * number).save(before)
        noise(40, 30, 2 * number + 1).save(after)
        rows.append(PairRow(before, after, **fields))
    write_pairs(folder / "pairs.jsonl", rows)
    return folder / "pairs.jsonl"


def run(pairs: Path, fake: FakeVlm, *more: str) -> int:
    flags = ["--vlm", "m", "--base-url", fake.url, "--first-wait", "0.01", "--timeout", "5"]
    return main(["data", "annotate", str(pairs), "-o", str(pairs.with_name("out.jsonl")), *flags, *more])


def lines(pairs: Path, name: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in pairs.with_name(name).read_text().splitlines()]


@contextmanager
def model(pairs: Path, fake: FakeVlm, limits: Limits | None = None) -> Iterator[Vlm]:
    with open_journal(pairs.with_name("out.answers")) as journal:
        yield Vlm(journal, Server(ServerOptions("m", fake.url)), "m", limits or Limits(first_wait=0.01))


def test_every_pair_gets_its_three_texts_in_order(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeVlm(seconds=0.05)) as fake:
        assert run(pairs, fake) == 0
    rows = lines(pairs)
    assert [row["before"] for row in rows] == [row["before"] for row in lines(pairs, "pairs.jsonl")]
    assert all(row["instruction"].startswith("edit_instruction of 80x30") for row in rows)
    assert all(
        row["before_description"].startswith("left") and row["after_description"].startswith("right") for row in rows
    )
    assert len({row["instruction"] for row in rows}) == COUNT == len(fake.bodies)
    assert fake.most_busy == 4
    captured = capsys.readouterr()
    assert captured.out.strip() == str(pairs.with_name("out.jsonl"))
    assert "12 rows: 12 kept, 0 of them complete before; asked for 12 now: 12 requests, 6,000 tokens in" in captured.err
    assert lines(pairs, "out.aside.jsonl") == []
    assert all(row.instruction for row in read_pairs(pairs.with_name("out.jsonl")))


def test_what_is_given_is_kept_and_a_whole_row_is_not_asked_for(tmp_path: Path) -> None:
    part = write_some(tmp_path / "part", 2, instruction="Make it blue")
    whole = write_some(tmp_path / "whole", 2, instruction="a", before_description="b", after_description="c")
    with serving(FakeVlm()) as fake:
        assert run(part, fake) == 0 and len(fake.bodies) == 2
        assert run(whole, fake) == 0 and len(fake.bodies) == 2
    assert {row["instruction"] for row in lines(part)} == {"Make it blue"}
    assert all(row["after_description"].startswith("right") for row in lines(part))
    assert lines(whole) == lines(whole, "pairs.jsonl")


def test_the_strip_has_before_left_and_after_right_at_one_height() -> None:
    red, blue = Image.new("RGB", (100, 50), "red"), Image.new("RGB", (30, 60), "blue")
    glued = strip(red, blue, 512)
    assert glued.size == (125, 50)
    assert (glued.getpixel((0, 25)), glued.getpixel((99, 25)), glued.getpixel((101, 25))) == (
        (255, 0, 0),
        (255, 0, 0),
        (0, 0, 255),
    )
    assert strip(red, blue, 20).size == (30 - 5, 10)
    assert strip(Image.new("RGB", (20_000, 2)), blue, 64).size == (64 + 1, 1)


def test_what_got_no_answer_is_set_aside_with_the_reason(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeVlm(seed=3, refuses=0.25, spoils=0.25)) as fake:
        (pairs.parent / "second" / "0_after.png").write_bytes(b"no picture")
        (pairs.parent / "second" / "2_after.png").unlink()
        assert run(pairs, fake) == 1
        first = (lines(pairs), lines(pairs, "out.aside.jsonl"))
        asked = len(fake.bodies)
        assert run(pairs, fake) == 1
        assert len(fake.bodies) == asked
        assert (lines(pairs), lines(pairs, "out.aside.jsonl")) == first
    kept, aside = first
    kinds = {row["kind"] for row in aside}
    assert kinds == {"refused", "bad", "unusable"} and len(kept) + len(aside) == COUNT
    by_kind = {row["kind"]: row for row in aside}
    assert by_kind["refused"]["why"] == "I cannot help with this picture."
    assert by_kind["bad"]["reply"] == '{"caption": "a picture"}'
    assert "0_after.png: not a picture" in aside[0]["why"]
    told = capsys.readouterr().err
    assert "2_before.png: unusable: " in told and "out.aside.jsonl" in told


def test_a_moved_folder_is_replayed_without_a_server(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeVlm(trouble=0.5, slow=0.01)) as fake:
        assert run(pairs, fake) == 0
    moved = pairs.parent.with_name("moved") / "pairs.jsonl"
    shutil.copytree(pairs.parent, moved.parent)
    moved.with_name("out.jsonl").unlink()
    noise(40, 30, 99).save(moved.parent / "second" / "4_after.png")  # another picture is another question
    assert run(moved, fake, "--replay") == 1
    assert lines(moved) == [row for row in lines(pairs) if row["before"] != "second/4_before.png"]
    (missing,) = lines(moved, "out.aside.jsonl")
    assert (missing["kind"], missing["why"]) == ("unanswered", "not in the journal")
    assert "0 requests" in capsys.readouterr().err


def test_another_prompt_model_or_size_is_another_question(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Describe this.")
    with serving(FakeVlm()) as fake:
        for more in ((), ("--prompt", str(tmp_path / "mine.txt")), ("--side", "20")):
            assert run(pairs, fake, *more) == 0
        assert len(fake.bodies) == 3 * COUNT
        assert run(pairs, fake, "--threads", "1", "--reply-format", "text") == 0
        assert len(fake.bodies) == 3 * COUNT


def test_the_second_look_lists_what_it_rejects(pairs: Path) -> None:
    with serving(FakeVlm()) as fake:
        assert run(pairs, fake, "--second-look") == 0
        texts = [body["messages"][0]["content"][1]["text"] for body in fake.bodies]
        assert run(pairs, fake, "--second-look") == 0 and len(fake.bodies) == 2 * COUNT
    kept, rejects = lines(pairs), lines(pairs, "out.rejects.jsonl")
    assert len(kept) + len(rejects) == COUNT and rejects
    assert {row["kind"] for row in rejects} == {"rejected"} and rejects[0]["why"].startswith("reason of")
    assert any(kept[0]["instruction"] in text for text in texts)


def test_tasks_without_a_name_are_named_by_their_folder(pairs: Path, tmp_path: Path) -> None:
    with serving(FakeVlm()) as fake:
        assert run(pairs, fake, "--name-tasks") == 0
        assert len(fake.bodies) == COUNT + 2
        named = write_some(tmp_path / "named", 2, task="Sepia")
        assert run(named, fake, "--name-tasks") == 0
    groups = {(row["before"].partition("/")[0], row["task"], row["category"]) for row in lines(pairs)}
    assert len(groups) == 2 and all(category for *_, category in groups)
    assert {row["task"] for row in lines(named)} == {"Sepia"} and all(row["category"] for row in lines(named))


def test_a_task_that_gets_no_name_is_told(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeVlm(always="refusal")) as fake:
        assert run(pairs, fake, "--name-tasks") == 1
    assert "second: the task got no name: I cannot help" in capsys.readouterr().err


def test_a_dry_run_tells_the_cost_and_does_nothing(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--dry-run", "--price", "1000,2000", "--second-look", "--name-tasks", "--rate", "2")
    before = sorted(pairs.parent.rglob("*"))
    with serving(FakeVlm()) as fake:
        assert run(pairs, fake, *flags) == 0
        assert not fake.bodies and sorted(pairs.parent.rglob("*")) == before
        told = capsys.readouterr().err
        assert "12 rows; 0 questions are answered" in told
        assert "26 requests" in told and "by guess" in told and "at least 13.0 minutes" in told
        assert run(pairs, fake, "--budget", "requests=4") == 2
        assert "the budget of 4 requests is spent" in capsys.readouterr().err
        assert run(pairs, fake, "--dry-run", "--price", "1000,2000") == 0
    told = capsys.readouterr().err
    # What the four answers cost is what the others are expected to: 500 tokens in, 50 out.
    assert "4 questions are answered" in told
    assert "8 requests, 4,000 tokens in and 400 out, 4.80 in money, 8 of them by what answers have cost" in told


def test_a_spent_budget_keeps_what_was_answered(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeVlm(seconds=0.02)) as fake:
        assert run(pairs, fake, "--budget", "requests=5") == 2
        assert not pairs.with_name("out.jsonl").exists()
        assert run(pairs, fake, "--budget", "requests=5", "--replay") == 1
        assert len(lines(pairs)) == 5
        assert run(pairs, fake, "--budget", f"requests={COUNT}") == 0
        assert len(fake.bodies) == COUNT == len(lines(pairs))
    assert capsys.readouterr().err.count("error:") == 1


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--budget", "money=1"), "needs --price"),
        (("--budget", "cats=1"), "write requests=N"),
        (("--price", "1"), "write two numbers"),
        (("--dry-run", "--replay"), "not both"),
        (("--prompt", "none.txt"), "none.txt: not a prompt"),
        (("--base-url", "localhost"), "is no address"),
    ],
)
def test_flags_that_do_not_fit(
    pairs: Path, more: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = run(pairs, FakeVlm(url="http://localhost:9/v1"), *more)
    except SystemExit as leaving:
        code = int(str(leaving.code))
    told = capsys.readouterr().err
    assert code == 2 and why in told and told.count("\n") == 1
    assert not pairs.with_name("out.jsonl").exists()


def test_wrong_places_are_told_before_anything_is_asked(pairs: Path, tmp_path: Path) -> None:
    with serving(FakeVlm()) as fake, model(pairs, fake) as vlm:
        options = AnnotateOptions(load_prompt("annotate"))
        with pytest.raises(QuadsError, match="outside of the file's folder"):
            annotate(pairs, tmp_path / "elsewhere" / "out.jsonl", vlm, options)
        assert not fake.bodies
    with serving(FakeVlm()) as fake:
        assert main(["data", "annotate", str(pairs), "-o", str(pairs), "--vlm", "m", "--base-url", fake.url]) == 2
        pairs.write_text('{"before": "../a.png", "after": "b.png"}\n')
        assert run(pairs, fake) == 2
        assert not fake.bodies


def test_a_pair_that_comes_again_is_paid_for_once(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Threads asked for the same pair at the same time, and each was paid for."""
    rows = list(read_pairs(pairs))
    write_pairs(pairs, [rows[0]] * 8 + rows)
    with serving(FakeVlm(seconds=0.05)) as fake:
        assert run(pairs, fake, "--threads", "8", "--dry-run") == 0
        assert f"to ask, were none to fail: {COUNT} requests" in capsys.readouterr().err
        assert run(pairs, fake, "--threads", "8") == 0
        assert len(fake.bodies) == COUNT and len({row["instruction"] for row in lines(pairs)[:9]}) == 1


def test_every_row_is_read_before_the_first_question(pairs: Path, tmp_path: Path) -> None:
    """Tasks were named, and paid for, before a wrong folder or a broken last line was told."""
    with serving(FakeVlm()) as fake:
        words = ["data", "annotate", str(pairs), "--name-tasks", "--vlm", "m", "--base-url", fake.url, "-o"]
        assert main([*words, str(tmp_path / "elsewhere" / "out.jsonl")]) == 2
        assert not (tmp_path / "elsewhere" / "out.jsonl").exists()
        pairs.write_bytes(pairs.read_bytes() + b'{"before": "/etc/passwd", "after": "b.png"}\n')
        assert run(pairs, fake, "--name-tasks") == 2 and not fake.bodies


def test_a_wrong_key_stops_at_once(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeVlm(always="401")) as fake:
        assert run(pairs, fake) == 2
        assert len(fake.bodies) <= 4  # one a thread
    told = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(told) == 1 and "set OPENAI_API_KEY" in told[0]


def test_answers_under_way_are_kept_when_one_thread_fails(pairs: Path) -> None:
    fake = FakeVlm(seconds=0.3)
    fake.behaviour = lambda key, count: "403" if len(fake.keys) == 1 else "slow"  # type: ignore[method-assign]
    with serving(fake):
        assert run(pairs, fake) == 2
    with open_journal(pairs.with_name("out.answers"), writing=False) as journal:
        assert journal.usual(load_prompt("annotate").sha256, "m")[0] == len(fake.bodies) - 1 >= 1
