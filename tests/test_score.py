"""Scores as columns of a batch: against other libraries, resumed, and with rows that cannot have one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio
from torchmetrics.functional.image import structural_similarity_index_measure

from relation_adapter.cli import main
from relation_adapter.data.schema import Quad, write_quads
from relation_adapter.editor import FunctionEditor
from relation_adapter.errors import InputError, UsageError
from relation_adapter.evaluate import metrics
from relation_adapter.evaluate.generate import generate
from relation_adapter.evaluate.metrics import METRICS, mse, psnr, ssim
from relation_adapter.evaluate.rows import absolute_rows, read_rows
from relation_adapter.evaluate.score import Scored, read_how, score
from relation_adapter.evaluate.seen import Metric

RNG = np.random.default_rng(0)


def picture(path: Path, size: tuple[int, int] = (24, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """Three edited quads; the last has no target."""
    quads = []
    for n in range(3):
        paths = [picture(tmp_path / "quads" / f"{n}_{name}.png") for name in ("before", "after", "source", "target")]
        quads.append(Quad(*paths[:3], paths[3] if n < 2 else None, task=f"task {n}"))
    write_quads(tmp_path / "quads" / "quads.jsonl", quads)
    editor = FunctionEditor(lambda request: Image.eval(request.source, lambda v: 255 - v), "negative")
    generate(tmp_path / "quads" / "quads.jsonl", editor, tmp_path / "batch")
    return tmp_path / "batch"


@pytest.mark.parametrize("size", [(64, 48), (11, 11), (9, 30), (4, 6)])
def test_the_pixel_metrics_are_those_of_other_libraries(size: tuple[int, int]) -> None:
    first = RNG.random((size[1], size[0], 3), dtype=np.float32)
    second = np.clip(first + RNG.normal(0, 0.1, first.shape), 0, 1).astype(np.float32)
    assert mse(first, second) == pytest.approx(mean_squared_error(first, second), abs=1e-6)
    assert psnr(first, second) == pytest.approx(peak_signal_noise_ratio(first, second, data_range=1), abs=1e-4)
    assert ssim(first, second) == pytest.approx(inner_ssim(first, second), abs=1e-6)
    assert ssim(first, first) == pytest.approx(1)
    assert psnr(first, first) == metrics.PSNR_MOST


def inner_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """By torchmetrics, without the windows that hang over the border; its own mean counts those, mirrored."""
    window = min(11, *first.shape[:2])
    window -= 1 - window % 2
    pair = (torch.from_numpy(one.astype(np.float64)).permute(2, 0, 1)[None] for one in (first, second))
    options = {"gaussian_kernel": window == 11, "kernel_size": window, "data_range": 1.0, "return_full_image": True}
    by_pixel = structural_similarity_index_measure(*pair, **options)[1]
    border = window // 2
    return float(by_pixel[..., border : first.shape[0] - border, border : first.shape[1] - border].mean())


def test_rows_grow_columns(batch: Path) -> None:
    assert score(batch) == Scored(done=2, skipped=0, without=1)
    first, _, last = absolute_rows(batch)
    output, target, source = (np.asarray(Image.open(first[name])) / 255 for name in ("output", "target", "source"))
    assert first["mse"] == pytest.approx(np.mean((output - target) ** 2), abs=1e-6)
    assert first["nothing_mse"] == pytest.approx(np.mean((source - target) ** 2), abs=1e-6)
    assert {"psnr", "ssim"} <= first.keys()
    assert "mse" not in last
    assert read_how(batch)["mse"] == METRICS["mse"].how


def test_what_is_scored_is_not_scored_again_and_a_new_metric_adds_its_columns(batch: Path) -> None:
    score(batch, ["mse"])
    before = read_rows(batch)
    assert score(batch, ["mse"]) == Scored(done=0, skipped=2, without=1)
    assert read_rows(batch) == before
    assert score(batch, ["mse", "psnr"]).done == 2
    assert [row.get("mse") for row in read_rows(batch)] == [row.get("mse") for row in before]


def test_a_score_made_in_another_way_is_made_anew(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(batch, ["mse", "psnr"])
    other = Metric(("psnr",), lambda _: lambda seen: {"psnr": 7.0}, "seven")
    monkeypatch.setitem(METRICS, "psnr", other)
    assert score(batch, ["psnr"]).done == 2
    assert [row["psnr"] for row in read_rows(batch)[:2]] == [7.0, 7.0]
    assert "mse" in read_rows(batch)[0]


def test_a_stopped_run_keeps_what_it_had_and_goes_on(batch: Path) -> None:
    def stop(number: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(batch, ["mse"], stop)
    with (batch / "rows.jsonl").open("a") as file:
        file.write('{"torn": ')
    assert score(batch, ["mse"]) == Scored(done=1, skipped=1, without=1)
    assert len(read_rows(batch)) == 3


def test_a_damaged_output_fails_its_row_alone(batch: Path) -> None:
    broken = batch / read_rows(batch)[0]["output"]
    broken.write_bytes(b"no picture")
    found = score(batch)
    assert (found.done, len(found.failed)) == (1, 1)
    assert str(broken) in found.failed[0]


def test_an_output_of_another_size_is_brought_to_the_target_s(batch: Path) -> None:
    row = absolute_rows(batch)[0]
    Image.open(row["target"]).resize((48, 32), Image.Resampling.BICUBIC).save(row["output"])
    score(batch, ["mse"])
    assert read_rows(batch)[0]["mse"] < 0.01


def test_wrong_use_is_one_clear_line(batch: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no metric is called 'mze'; there are: mse, psnr"):
        score(batch, ["mze"])
    with pytest.raises(InputError, match=r"run the batch into this folder first"):
        score(tmp_path / "empty")
    assert not (tmp_path / "empty").exists()
    (batch / "metrics.json").write_text(json.dumps(3))
    with pytest.raises(InputError, match=r"remove it to score anew"):
        score(batch)


def test_the_command_edits_scores_and_says_the_means(batch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quads, out = batch.parent / "quads" / "quads.jsonl", batch.parent / "again"
    assert main(["evaluate", "generate", str(quads), "--model", "identity", "-o", str(out)]) == 0
    assert main(["evaluate", "score", str(out), "--metrics", "mse"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(out / "rows.jsonl")] * 2
    assert "2 scored, 0 failed, 0 scored before, 1 that none of the metrics is for" in said.err
    assert "mean over 2 tasks" in said.err
    assert all(row["mse"] == row["nothing_mse"] for row in read_rows(out)[:2])


def test_the_metrics_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "score", "--metrics", "list"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [*METRICS, "fid", "kid"]
    assert main(["evaluate", "score"]) == 2
    assert "no folder to score" in capsys.readouterr().err
