"""FID and KID: the network against torch-fidelity's, the distances against scipy, torchmetrics and closed forms."""

import json
from pathlib import Path

import numpy as np
import pytest
from metric_twins import write_inception
from samples import noise
from scipy.linalg import sqrtm
from torch import from_numpy, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from relation_adapter.cli import main
from relation_adapter.data.schema import Quad
from relation_adapter.editor import FunctionEditor
from relation_adapter.errors import InputError, WeightsError
from relation_adapter.evaluate import sets
from relation_adapter.evaluate.generate import generate
from relation_adapter.evaluate.inception import features, open_inception
from relation_adapter.evaluate.networks import Networks
from relation_adapter.evaluate.sets import fid, kid, read_sets, score_sets
from relation_adapter.hub import Places

RNG = np.random.default_rng(0)


def sample(count: int, width: int = 8) -> np.ndarray:
    return RNG.normal(RNG.normal(0, 1, width), 1, (count, width)) @ RNG.normal(0, 1, (width, width))


def by_root(first: np.ndarray, second: np.ndarray) -> float:
    """The textbook form."""
    covariances = [np.cov(one, rowvar=False) for one in (first, second)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    apart = first.mean(axis=0) - second.mean(axis=0)
    return float(apart @ apart + np.trace(covariances[0] + covariances[1] - 2 * root))


@pytest.mark.parametrize(("count", "other"), [(200, 150), (9, 30)])
def test_fid_is_that_of_the_matrix_root_and_of_torchmetrics(count: int, other: int) -> None:
    first, second = sample(count), sample(other)
    network = nn.Identity()
    network.num_features = 8  # type: ignore[assignment]
    theirs = FrechetInceptionDistance(network)
    theirs.update(from_numpy(first), real=True)
    theirs.update(from_numpy(second), real=False)
    assert fid(first, second) == pytest.approx(by_root(first, second), rel=1e-4)
    assert fid(first, second) == pytest.approx(float(theirs.compute()), rel=1e-4)


def test_fid_of_few_pictures_has_a_closed_form() -> None:
    # Two sets along one axis: the distance of two normal distributions of one dimension.
    line = np.zeros((4, 50))
    line[:, 7] = [1, 2, 4, 9]
    other = np.zeros((3, 50))
    other[:, 7] = [0, 1, 5]
    mean, spread = line[:, 7].mean() - 2, line[:, 7].std(ddof=1) - np.std([0, 1, 5], ddof=1)
    assert fid(line, other) == pytest.approx(mean**2 + spread**2, rel=1e-6)
    same = sample(5, 64)
    assert fid(same, same) == pytest.approx(0, abs=1e-8)


def test_kid_is_the_unbiased_distance_of_the_cubic_kernel() -> None:
    first, second = sample(40), sample(40)

    def kernel(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (one @ other.T / 8 + 1) ** 3

    def off_diagonal(values: np.ndarray) -> float:
        return float((values.sum() - np.trace(values)) / (40 * 39))

    within = off_diagonal(kernel(first, first)) + off_diagonal(kernel(second, second))
    assert kid(first, second) == pytest.approx(within - 2 * kernel(first, second).mean(), rel=1e-6)
    # Sets of two sizes are compared in drawn parts, the same ones every time.
    assert kid(first, second[:30]) == kid(first, second[:30])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_inception(folder / "pt_inception-2015-12-05-6726825d.pth")
    return folder


# Of the twin's weights, by the network of torch-fidelity 0.4.0: features 0, 500, 1000, 1500 and 2047, mean, spread.
RECORDED = {
    (96, 64, 3): ([2.05578, 0.02767, 0.56459, 0.41347, 1.2188], 0.5857014, 0.8060293),
    (400, 320, 4): ([2.232, 0.02861, 0.61538, 0.5308, 1.30621], 0.6266337, 0.8614394),
}


def test_the_network_is_that_of_torch_fidelity(weights: Path) -> None:
    model = open_inception(weights / "pt_inception-2015-12-05-6726825d.pth", "cpu")
    for (width, height, seed), (some, mean, spread) in RECORDED.items():
        found = features(model, noise(width, height, seed))
        assert found[[0, 500, 1000, 1500, 2047]] == pytest.approx(some, abs=1e-4)
        assert (found.mean(), found.std(ddof=1)) == pytest.approx((mean, spread), abs=1e-5)


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """Four edited quads, three of them seen, of small pictures; the last has no target."""
    quads = []
    for number in range(5):
        paths = [tmp_path / f"{number}{name}.png" for name in ("before", "after", "source", "target")]
        for place, path in enumerate(paths):
            noise(16, 16, seed=10 * number + place).save(path)
        split = "unseen" if number == 3 else "seen"
        quads.append(Quad(*paths[:3], None if number == 4 else paths[3], task="a", split=split, category="style"))
    generate(quads, FunctionEditor(lambda request: request.source, "same"), tmp_path / "batch")
    return tmp_path / "batch"


@pytest.fixture
def blinking(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Inception in place of which the mean colour is taken; the pictures that were looked at."""
    seen: list[str] = []

    def see(self: object, picture: Path) -> np.ndarray:
        seen.append(picture.name)
        return np.asarray(noise(1, 1, len(seen)), np.float32).mean(axis=(0, 1))

    monkeypatch.setattr(sets._Seeing, "_see", see)
    return seen


def test_sets_are_scored_by_split_and_category(batch: Path, blinking: list[str]) -> None:
    found = score_sets(batch, ["fid", "kid"])
    assert found == read_sets(batch)
    groups = {group: one["pictures"] for group, one in found["fid"].items() if group != "how"}
    assert groups == {"all": 4, "split=seen": 3, "category=style": 4}  # one unseen picture has no spread
    assert found["fid"].keys() == found["kid"].keys()
    assert "pt_inception-2015-12-05" in found["fid"]["how"]


def test_what_was_looked_at_is_not_looked_at_again(batch: Path, blinking: list[str]) -> None:
    def stop(number: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_sets(batch, ["fid"], stop)
    assert len(blinking) == 2
    first = score_sets(batch, ["fid"])
    assert len(blinking) == 8
    assert score_sets(batch, ["fid"]) == first
    assert len(blinking) == 8
    changed = next(batch.glob("000000*.png"))
    noise(16, 16, seed=99).save(changed)
    score_sets(batch, ["fid"])
    assert blinking[8:] == [changed.name]


def test_the_command_writes_what_the_real_network_sees(
    batch: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (batch / "rows.jsonl").read_text().splitlines()]
    (batch / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    options = ["--metrics", "fid,kid", "--weights", str(weights), "--offline"]
    assert main(["evaluate", "score", str(batch), *options]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(batch / "sets.json")]
    assert "fid (pictures): all " in said.err
    model = open_inception(weights / "pt_inception-2015-12-05-6726825d.pth", "cpu")
    seen = [[features(model, noise(16, 16, 10 * number + place)) for number in range(2)] for place in (2, 3)]
    assert read_sets(batch)["fid"]["all"]["value"] == pytest.approx(fid(*map(np.stack, seen)), rel=1e-4)


def test_bad_weights_and_a_damaged_file_are_told_in_one_line(batch: Path, tmp_path: Path, blinking: list[str]) -> None:
    import torch

    torch.save({"fc.bias": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"Conv2d_1a_3x3.conv.weight is missing.*give FID's Inception"):
        open_inception(tmp_path / "other.pth", "cpu")
    with pytest.raises(WeightsError, match=r"offline nothing is fetched"):
        Networks(Places(folder=tmp_path, offline=True)).file("inception")
    (batch / "sets.json").write_text("[3")
    with pytest.raises(InputError, match=r"remove it to score anew"):
        score_sets(batch, ["fid"])
