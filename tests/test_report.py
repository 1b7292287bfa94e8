"""The report: what stands in its tables, what it refuses to compare, and that the page asks for nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from relation_adapter.cli import main
from relation_adapter.data.schema import Quad, write_quads
from relation_adapter.editor import FunctionEditor
from relation_adapter.errors import InputError, UsageError
from relation_adapter.evaluate.batches import read_batches, same_ways
from relation_adapter.evaluate.generate import generate
from relation_adapter.evaluate.report import report
from relation_adapter.evaluate.report_pictures import extremes
from relation_adapter.evaluate.report_tables import differences, editors, table_1, table_2, table_9
from relation_adapter.evaluate.rows import read_rows, write_rows
from relation_adapter.evaluate.score import score

COUNT = 8


def plain(value: int, name: str) -> FunctionEditor:
    return FunctionEditor(lambda request: Image.new("RGB", (16, 16), (value, value, value)), name)


@pytest.fixture
def quads(tmp_path: Path) -> Path:
    """Grey sources whose target is white; half of the tasks are unseen."""
    folder = tmp_path / "quads"
    folder.mkdir()
    Image.new("RGB", (16, 16), "white").save(folder / "white.png")
    made = []
    for n in range(COUNT):
        Image.new("RGB", (16, 16), (100 + n,) * 3).save(folder / f"{n}.png")
        grey, white = folder / f"{n}.png", folder / "white.png"
        split = "seen" if n % 4 < 2 else "unseen"
        made.append(Quad(grey, white, grey, white, task=f"task | {n // 2}", category="style", split=split))
    write_quads(folder / "quads.jsonl", made)
    return folder / "quads.jsonl"


@pytest.fixture
def folders(quads: Path, tmp_path: Path) -> list[Path]:
    """A good editor, a bad one, and the good one at half strength."""
    values = {"good@0123abcd": 250, "bad": 0, "good@0123abcd strength=0.5": 200}
    found = []
    for number, (name, value) in enumerate(values.items()):
        generate(quads, plain(value, name), tmp_path / f"run{number}")
        score(tmp_path / f"run{number}", ["mse"])
        found.append(tmp_path / f"run{number}")
    return found


def test_one_command_makes_the_page_and_it_asks_for_nothing_else(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert main(["evaluate", "report", *map(str, folders), "-o", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out / "index.html")
    page, text = ((out / name).read_text() for name in ("index.html", "report.md"))
    assert not re.search(r'(src|href)=(?!"data:|"#)', page) and "url(" not in page and "@import" not in page
    for told in ("Table 1", "Table 2", "Table 3", "Table 9", "Table 10", "0.043", "3.508", "Paired tests", "By task"):
        assert told in page and told in text
    assert "Table 4" not in page  # no dense columns here
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert pictures and all((out / name).is_file() for name in pictures)
    rows = [line for line in text.splitlines() if line.startswith("| task \\|")]
    assert len(rows) == COUNT // 2  # a bar in a task's name breaks no table


def test_the_numbers_are_the_means_over_tasks_beside_the_papers(folders: list[Path]) -> None:
    batches = read_batches(folders)
    table = table_2(batches, [])
    error = ((255 - 250) / 255) ** 2
    assert table.paper == 4 and table.rows[4][:3] == ["good", "seen (2)", f"{error:.4f}"]
    assert {row[1] for row in table.rows[4:]} == {"seen (2)", "unseen (2)"}
    strengths = table_9(batches, []).rows[6:]
    assert [row[1] for row in strengths] == ["1", "0.5", "1", "0.5"]
    assert editors(batches).rows[1][4] != "–"  # noqa: RUF001
    first = differences(batches).rows[0]
    assert first[0] == "good less bad" and first[2].startswith("-")


def test_batches_of_other_quads_are_compared_on_what_they_share_and_this_is_said(
    folders: list[Path], tmp_path: Path
) -> None:
    rows = read_rows(folders[1])
    write_rows(
        folders[1], [row | ({"error": "broken", "output": None} if n == 0 else {}) for n, row in enumerate(rows)]
    )
    assert table_1(read_batches(folders), []).notes == ["Every editor here has a result of 7 quads of 4 tasks."]
    report(folders, [], tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "bad: 1 of 8 edits failed" in page and "bad has other quads than good: 7 against 8, 7 in common" in page


def test_a_score_made_in_two_ways_is_in_no_table(folders: list[Path]) -> None:
    how = folders[1] / "metrics.json"
    how.write_text(json.dumps(json.loads(how.read_text()) | {"mse": "another"}))
    batches, notes = same_ways(read_batches(folders))
    assert not any("mse" in row for batch in batches for row in batch.rows)
    assert len(notes) == 1 and notes[0].startswith("mse was made in several ways")


def judged(folder: Path, mode: str, batches: list[Path]) -> Path:
    """A judge's table, in the form that `evaluate judge` writes."""
    folder.mkdir()
    head = {"mode": mode, "judge": "j", "prompt": "p", "prompt_sha256": "0" * 64, "side": 64}
    names = [f"../{batch.name}" for batch in batches]
    (folder / "judged.json").write_text(json.dumps(head | {"folders": names, "both_orders": None, "seed": None}))
    rows = []
    for lines in zip(*map(read_rows, batches), strict=True):
        row = {name: lines[0][name] for name in ("before", "after", "source", "instruction", "task", "split")}
        for place, line, batch in zip(
            ("first_", "second_") if mode == "paired" else ("",), lines, batches, strict=True
        ):
            row |= {f"{place}output": f"../{batch.name}/{line['output']}", f"{place}model": line["model"]}
            row |= {f"{place}gpt_c": 4, f"{place}gpt_a": 2 if place == "second_" else 5}
        rows.append(row | {"why": None})
    write_rows(folder, rows, "judged.jsonl")
    return folder


def test_paired_scores_fill_the_papers_columns_single_ones_never_do(folders: list[Path], tmp_path: Path) -> None:
    single = judged(tmp_path / "single", "single", folders[:1])
    report(folders, [single], tmp_path / "one")
    assert "single GPT-C" in (tmp_path / "one" / "report.md").read_text()
    assert "| good | 0.0004 | – | – | – | – |" in (tmp_path / "one" / "report.md").read_text()  # noqa: RUF001
    paired = judged(tmp_path / "paired", "paired", folders[:2])
    report(folders, [single, paired], tmp_path / "two")
    text = (tmp_path / "two" / "report.md").read_text()
    assert "| good | 0.0004 | – | – | 4.000 | 5.000 |" in text  # noqa: RUF001
    assert "alone and of results seen beside a rival are different numbers" in text
    other = judged(tmp_path / "other", "paired", [folders[0], folders[2]])
    report(folders, [paired, other], tmp_path / "three")
    assert "none fills the paper's tables" in (tmp_path / "three" / "report.md").read_text()


def test_best_middle_and_worst_are_of_different_tasks() -> None:
    rows = [{"task": f"t{n // 2}", "mse": n + 1.0, "nothing_mse": 1.0, "output": str(n)} for n in range(40)]
    chosen = extremes(rows)
    assert [label for label, _, _ in chosen] == ["best"] * 3 + ["middle"] * 3 + ["worst"] * 3
    assert len({row["task"] for _, _, row in chosen}) == 9
    assert chosen[0][2]["task"] == "t0" and chosen[-1][2]["task"] == "t19"
    assert extremes([row | {"mse": 1.0} for row in rows]) == []


def test_what_cannot_be_reported_on_is_told(folders: list[Path], tmp_path: Path, quads: Path) -> None:
    with pytest.raises(InputError, match="evaluate score"):
        generate(quads, plain(1, "unscored"), tmp_path / "unscored")
        report([tmp_path / "unscored"], [], tmp_path / "out")
    with pytest.raises(UsageError, match="give another folder"):
        report(folders, [], folders[0])
    with pytest.raises(InputError, match="run the batch"):
        report([tmp_path / "nowhere"], [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_editor_of_a_file_has_the_file_s_name(quads: Path, tmp_path: Path) -> None:
    generate(quads, plain(0, "/some where/mine.safetensors@0123abcd strength=0.5"), tmp_path / "run")
    assert [batch.name for batch in read_batches([tmp_path / "run"])] == ["mine strength=0.5"]
