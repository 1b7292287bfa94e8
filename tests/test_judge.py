"""Results judged over a real server on this machine that misbehaves; through the command line as a user would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import make_quads
from fake_vlm import FakeVlm, serving
from PIL import Image
from samples import noise

from relation_adapter.cli import main
from relation_adapter.editor import EditRequest, FunctionEditor
from relation_adapter.evaluate.generate import generate
from relation_adapter.evaluate.judge import SCORES
from relation_adapter.evaluate.judged import read_judged, sides
from relation_adapter.evaluate.rows import read_rows
from relation_adapter.evaluate.stats import compare, mean
from relation_adapter.vlm import Question, Server, ServerOptions, Spent, Vlm, load_prompt, object_schema, open_journal
from relation_adapter.vlm.schema import parse
from relation_adapter.vlm.server import Reply

COUNT = 6
SIDE = 32
Answer = Callable[[str, Image.Image, Mapping[str, Any]], dict[str, Any]]


def plain(value: int, name: str) -> FunctionEditor:
    return FunctionEditor(lambda request: Image.new("RGB", (16, 16), (value, value, value)), name)


def make_batches(folder: Path, count: int = COUNT) -> tuple[Path, Path]:
    """What two editors make of the same quads: all white, and all black."""
    quads = make_quads(folder / "quads", count)
    for value, name in ((255, "white"), (0, "black")):
        generate(quads, plain(value, name), folder / name)
    return folder / "white", folder / "black"


@pytest.fixture
def batches(tmp_path: Path) -> tuple[Path, Path]:
    return make_batches(tmp_path)


def biased(words: str, image: Image.Image, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A judge who likes white results, and whatever stands first. It looks where the prompt says the results stand."""
    assert all(name in words for name in ("A1", "B1", "consistency", "accuracy"))
    gray = np.asarray(image.convert("L"), float)
    cells = {"B1": gray[: len(gray) // 3], "B2": gray[len(gray) // 3 : 2 * len(gray) // 3]}
    if len(fields) == 1:
        cells = {"B1": gray[len(gray) // 2 :]}
    scores = {}
    for name, cell in cells.items():
        middle = cell[len(cell) // 2, 3 * cell.shape[1] // 4]
        liked = (4 if middle > 128 else 2) + (name == "B1")
        scores[name] = {"consistency": liked, "accuracy": 6 - liked}
    return scores


def run(fake: FakeVlm, *more: object) -> int:
    flags = ["--vlm", "m", "--base-url", fake.url, "--first-wait", "0.01", "--timeout", "5", "--side", str(SIDE)]
    return main(["evaluate", "judge", *map(str, more), *flags])


def paired(fake: FakeVlm, batches: tuple[Path, Path], *more: object) -> int:
    first, second = batches
    return run(fake, first, "--against", second, "-o", first.with_name("judged"), *more)


def test_two_results_are_seen_in_both_orders_and_each_gets_its_own_scores(
    batches: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = batches[0].with_name("judged")
    with serving(FakeVlm(answer=biased)) as fake:
        assert paired(fake, batches) == 0
        assert len(fake.bodies) == 2 * COUNT
        assert all(len(body["messages"][0]["content"]) == 2 for body in fake.bodies)  # one composite, and the words
    rows = read_judged(out)
    assert [(row["first_gpt_c"], row["first_gpt_a"]) for row in rows] == [(4.5, 1.5)] * COUNT
    assert [(row["second_gpt_c"], row["second_gpt_a"]) for row in rows] == [(2.5, 3.5)] * COUNT
    assert all(sorted(answer["order"] for answer in row["answers"]) == [[0, 1], [1, 0]] for row in rows)
    assert len({tuple(row["answers"][0]["order"]) for row in rows}) == 2  # which comes first is drawn
    white, black = sides(out)
    assert white[0]["model"] == "white" and "gpt_c" not in white[0]
    found, difference = mean(white, "paired_gpt_c"), compare(white, black, "paired_gpt_a")
    assert found is not None and found.value == 4.5
    assert difference is not None and difference.difference == -2 and difference.rows == COUNT
    told = capsys.readouterr().err
    assert "white less black, consistency (GPT-C): +2.000" in told
    assert "by its place alone what is shown first is scored +0.000" in told  # +1 in one criterion, -1 in the other


def test_one_order_as_in_the_paper_is_drawn_from_the_seed(batches: tuple[Path, Path], tmp_path: Path) -> None:
    def orders(name: str, seed: int) -> list[Any]:
        assert run(fake, white, "--against", black, "-o", tmp_path / name, "--one-order", "--seed", seed) == 0
        return [answer["order"] for row in read_judged(tmp_path / name) for answer in row["answers"]]

    white, black = batches
    with serving(FakeVlm(answer=biased)) as fake:
        assert orders("one", 0) == orders("same", 0) != orders("other", 1)
    assert len(orders("one", 0)) == COUNT


def test_single_scores_become_columns_of_the_batch(batches: tuple[Path, Path]) -> None:
    white = batches[0]
    with serving(FakeVlm(answer=biased, trouble=0.5, slow=0.01)) as fake:
        assert run(fake, white) == 0
        asked = len(fake.bodies)
        assert run(fake, white) == 0 and len(fake.bodies) == asked
        assert run(fake, white, "-o", white.with_name("second"), "--side", 20) == 0
    rows = read_rows(white)
    assert [(row["gpt_c"], row["gpt_a"]) for row in rows] == [(5, 1)] * COUNT
    prompt = load_prompt("judge_single").sha256
    assert (
        json.loads((white / "metrics.json").read_text())["gpt_c"]
        == f"single, by m, prompt judge_single {prompt[:12]}, 32 px a picture"
    )
    assert main(["evaluate", "score", str(white), "--metrics", "mse"]) == 0
    assert generate(white.parent / "quads" / "quads.jsonl", plain(255, "white"), white).skipped == COUNT
    assert read_rows(white) == rows


def test_every_reply_is_kept_as_it_came_with_the_prompts_hash(batches: tuple[Path, Path]) -> None:
    with serving(FakeVlm(answer=biased, trouble=1, troubles=("fenced", "wrong shape"))) as fake:
        assert run(fake, batches[0]) == 0
    lines = [json.loads(line) for line in (batches[0] / "judge" / "answers" / "answers.jsonl").open()]
    answers = {line["key"]: line for line in lines if line["event"] == "answered"}
    (row, *_) = read_judged(batches[0] / "judge")
    kept = answers[row["answers"][0]["key"]]
    assert kept["prompt"] == {"name": "judge_single", "sha256": load_prompt("judge_single").sha256}
    assert kept["answered_by"] == row["answers"][0]["answered_by"] == "m-2026-01-01"
    assert kept["about"] | {"B1": row["output"]} == {
        "A": "before.png",
        "A1": "after.png",
        "B": "source 0.png",
        "B1": row["output"],
        "task": "Raise Arms/1",
    }
    assert any(line["reply"].startswith("Here it is:\n```json") for line in answers.values())
    assert any(line["reply"] == '{"caption": "a picture"}' for line in lines if line["event"] == "again")


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        ('{"B1": {"consistency": 6, "accuracy": 1}}', "'consistency' is 6, which is none of 1, 2, 3, 4, 5"),
        ('{"B1": {"consistency": 4.5, "accuracy": 1}}', "'consistency' is no integer"),
        ('{"B1": {"consistency": true, "accuracy": 1}}', "'consistency' is no integer"),
        ('{"B1": {"consistency": "4", "accuracy": 1}}', "'consistency' is no integer"),
        ('{"B1": {"consistency": 4}}', "no 'accuracy'"),
        ('{"B1": 4}', "'B1' is no object"),
        ('{"consistency": 4, "accuracy": 4}', "no 'B1'; an unknown 'accuracy'"),
        ('{"B1": {"consistency": 4, "accuracy": 4}, "B2": {}}', "an unknown 'B2'"),
    ],
)
def test_scores_off_the_scale_are_no_scores(reply: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong.replace("(", r"\(")):
        parse(reply, object_schema(B1=SCORES))
    assert parse('{"B1": {"consistency": 4, "accuracy": 5}}', object_schema(B1=SCORES))["B1"]["accuracy"] == 5


def test_half_a_character_in_a_reply_does_not_stop_the_work(tmp_path: Path) -> None:
    class Half(Server):
        def send(self, *_: object) -> Reply:
            return Reply("cut \ud83d", "stop", None, "m", Spent(1, 1, 1))

    question = Question(load_prompt("judge_single"), SCORES, "ab", lambda: [noise(8, 8)])
    with open_journal(tmp_path) as journal:
        outcome = Vlm(journal, Half(ServerOptions("m", "http://localhost:9/v1")), "m").outcome(question)
        assert (outcome.kind, outcome.reply) == ("bad", "cut ?")


def test_a_quad_that_is_refused_in_one_order_has_no_score(
    batches: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = batches[0].with_name("judged")
    with serving(FakeVlm(seed=2, answer=biased, refuses=0.2)) as fake:
        assert paired(fake, batches, "--threads", "1") == 1
        rows = read_judged(out)
        refused = [row for row in rows if row["why"]]
        assert 0 < len(refused) < COUNT and any(len(row["answers"]) == 1 for row in refused)
        assert all(row["first_gpt_c"] is row["second_gpt_a"] is None for row in refused)
        found = mean(sides(out)[0], "paired_gpt_c")
        assert found is not None and found.rows == COUNT - len(refused)
        told = capsys.readouterr().err
        assert f"{len(refused)} refused" in told and ".png: refused: I cannot help" in told
        fake.refuses = 0
        assert paired(fake, batches, "--ask-again") == 0


def test_what_cannot_be_judged_is_counted(batches: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    white = batches[0]
    rows = read_rows(white)
    (white / rows[0]["output"]).write_bytes(b"no picture")
    rows[1] |= {"output": None, "error": "it failed"}
    (white / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]))
    with serving(FakeVlm(answer=biased)) as fake:
        assert paired(fake, batches) == 1
    told = capsys.readouterr().err
    assert f"{COUNT - 2} quads: {COUNT - 3} scored; 1 unusable; 1 more without a result; 1 rows of quads" in told
    assert read_judged(white.with_name("judged"))[0]["why"].endswith("give a PNG, JPEG or WebP file")


def test_results_of_another_program_can_be_judged(tmp_path: Path) -> None:
    quads = make_quads(tmp_path, 2)
    (tmp_path / "theirs" / "out").mkdir(parents=True)
    lines = []
    for number, line in enumerate(quads.read_text().splitlines()):
        noise(16, 16, number).save(tmp_path / "theirs" / "out" / f"{number}.png")
        quad = {name: f"../{value}" for name, value in json.loads(line).items() if value.endswith(".png")}
        lines.append(json.dumps(quad | {"output": f"out/{number}.png"}) + "\n")
    (tmp_path / "theirs" / "rows.jsonl").write_text("".join([*lines, '{"output": "out/0.png"}\n']))
    with serving(FakeVlm(answer=biased)) as fake:
        assert run(fake, tmp_path / "theirs") == 0
    assert [row.get("gpt_c") is None for row in read_rows(tmp_path / "theirs")[:2]] == [False, False]
    assert read_judged(tmp_path / "theirs" / "judge")[0]["model"] == "theirs"


def test_scores_of_two_kinds_never_meet(
    batches: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("A1 B1 consistency accuracy")
    with serving(FakeVlm(answer=biased)) as fake:
        assert run(fake, batches[0], "-o", tmp_path / "out") == 0
        assert run(fake, batches[0], "--against", batches[1], "-o", tmp_path / "out") == 2
        assert run(fake, batches[0], "-o", tmp_path / "out", "--prompt", tmp_path / "mine.txt") == 2
        assert run(fake, batches[1], "-o", tmp_path / "out") == 2
        assert len(fake.bodies) == COUNT
        assert paired(fake, batches) == 0
    assert main(["evaluate", "agreement", str(tmp_path / "out"), str(tmp_path / "judged")]) == 2
    errors = [line.partition("error: ")[2] for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert [error.partition("out ")[2] for error in errors] == [
        "holds scores of mode 'single', not 'paired'; give another folder with -o",
        "holds scores of prompt 'judge_single', not 'mine'; give another folder with -o",
        "holds scores of folders ('../white',), not ('../black',); give another folder with -o",
        f"is single and {tmp_path / 'judged'} is paired; their scores are not comparable",
    ]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("black", "--against", "white"), "--against needs -o OUT"),
        (("black", "--against", "black", "-o", "out"), "those of two different batches"),
        (("nowhere",), "nowhere/rows.jsonl: cannot be read"),
        (("black", "-o", "white", "--against", "white"), "white: is a batch itself"),
        (("black", "--against", "other", "-o", "out"), "no quad that both have a result of"),
        (("black", "--budget", "money=1"), "needs --price"),
    ],
)
def test_wrong_use_is_told_in_one_line_before_anything_is_asked(
    batches: tuple[Path, Path],
    more: tuple[str, ...],
    why: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(batches[0].parent)
    generate(make_quads(Path("elsewhere"), 1), plain(1, "other"), "other")
    capsys.readouterr()
    with serving(FakeVlm(answer=biased)) as fake:
        assert run(fake, *more) == 2
        assert not fake.bodies
    told = capsys.readouterr().err
    assert why in told and told.count("\n") == 1
    assert not Path("nowhere").exists()


def test_a_dry_run_and_a_budget(batches: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    out = batches[0].with_name("judged")
    with serving(FakeVlm(answer=biased)) as fake:
        assert paired(fake, batches, "--dry-run", "--price", "1000,2000") == 0
        assert not fake.bodies and not out.exists()
        assert f"{2 * COUNT} requests" in capsys.readouterr().err
        assert paired(fake, batches, "--budget", "requests=5") == 2
        assert len(fake.bodies) == 5 and not (out / "judged.jsonl").exists()
        assert "the budget of 5 requests is spent" in capsys.readouterr().err
        assert paired(fake, batches, "--dry-run", "--price", "1000,2000") == 0
        # What an answer has cost is what the others are expected to: 500 tokens in, 50 out.
        assert f"{2 * COUNT - 5} requests, 3,500 tokens in and 350 out, 4.20 in money" in capsys.readouterr().err
        assert paired(fake, batches, "--budget", f"requests={2 * COUNT}") == 0
        assert len(fake.bodies) == 2 * COUNT


def test_batches_that_were_moved_are_replayed_without_a_server(batches: tuple[Path, Path], tmp_path: Path) -> None:
    with serving(FakeVlm(answer=biased)) as fake:
        assert paired(fake, batches) == 0
        shutil.copytree(tmp_path, tmp_path.with_name("moved"))
        moved = (tmp_path.with_name("moved") / "white", tmp_path.with_name("moved") / "black")
        (moved[0].with_name("judged") / "judged.jsonl").unlink()
        assert paired(fake, moved, "--replay") == 0
        assert len(fake.bodies) == 2 * COUNT
        table = (tmp_path / "judged" / "judged.jsonl").read_bytes()
        assert (moved[0].with_name("judged") / "judged.jsonl").read_bytes() == table
        noise(16, 16, 7).save(next(moved[0].glob("000003*.png")))  # another result is another question
        assert paired(fake, moved, "--replay") == 1
    assert [row["why"] for row in read_judged(moved[0].with_name("judged")) if row["why"]] == [
        "unanswered: not in the journal"
    ]


def test_a_quad_that_a_batch_holds_twice_is_judged_twice(tmp_path: Path) -> None:
    quads = make_quads(tmp_path / "quads", 2)
    quads.write_text(2 * quads.read_text())

    def draw(request: EditRequest) -> Image.Image:
        return noise(16, 16, request.seed)

    generate(quads, FunctionEditor(draw, "drawn"), tmp_path / "drawn")
    with serving(FakeVlm(answer=biased)) as fake:
        assert run(fake, tmp_path / "drawn") == 0
        assert len(fake.bodies) == 4
    assert all(row["gpt_c"] for row in read_rows(tmp_path / "drawn"))
