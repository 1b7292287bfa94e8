"""The published preparation, fitting to a model and back."""

from __future__ import annotations

import numpy as np
import pytest
from goldens import FOLDER, config, needs_goldens
from PIL import Image
from samples import RED, WHITE, natural, noise, psnr

from relation_adapter.errors import UsageError
from relation_adapter.images import Fit, fit, fit_size, pad_to_ratio, resize

# The published preparation


@needs_goldens
@pytest.mark.parametrize("number", [0, 1])
def test_pad_to_ratio_is_the_published_one(number: int) -> None:
    with np.load(FOLDER / "inputs_uint8.npz") as golden:
        ours = pad_to_ratio(Image.fromarray(golden[f"exemplar_{number}"]), config()["exemplar_long_side"])
        assert np.array_equal(np.asarray(ours), golden[f"exemplar_resized_{number}"])


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        ((64, 90), (381, 512)),  # 67x90 at 3:4: the padded side rounds down, the resized side to nearest
        ((96, 72), (512, 384)),
        ((512, 512), (512, 512)),
        ((1000, 1), (512, 288)),
        ((1, 1000), (288, 512)),
        ((1920, 1080), (512, 288)),
        ((100, 86), (512, 512)),  # 1.163 is nearer to 1 by difference, to 4:3 by quotient
        ((1, 1), (512, 512)),
        ((1, 2), (256, 512)),
        ((20000, 20), (512, 288)),
    ],
)
def test_pad_to_ratio_sizes(size: tuple[int, int], padded: tuple[int, int]) -> None:
    assert pad_to_ratio(Image.new("RGB", size)).size == padded


def test_a_long_strip_is_not_padded_at_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    new = Image.new

    def spy(mode: str, size: tuple[int, int], color: str = "black") -> Image.Image:
        sizes.append(size)
        return new(mode, size, color)

    strip = new("RGB", (12_000, 900), RED)
    monkeypatch.setattr(Image, "new", spy)
    monkeypatch.setattr("relation_adapter.images.MAX_PIXELS", 12_000_000)
    padded = np.asarray(pad_to_ratio(strip))
    assert max(width * height for width, height in sizes) <= 12_000_000
    rows = (padded[:, 256, 1] < 128).nonzero()[0]
    assert padded.shape[:2] == (288, 512) and abs(len(rows) - 512 * 900 / 12_000) < 1.5


def test_pad_to_ratio_centres_on_white() -> None:
    padded = np.asarray(pad_to_ratio(Image.new("RGB", (300, 700), RED)))  # to 393x700, 46 left, 47 right
    row = (padded[256, :, 1] < 128).nonzero()[0]
    assert padded.shape[:2] == (512, 287)
    assert abs(row[0] - 46 * 512 / 700) < 1 and abs(row[-1] + 1 - 346 * 512 / 700) < 1
    assert tuple(padded[0, 0]) == WHITE


# Fitting to a model


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((640, 480), {"long_side": 512}, (512, 384)),
        ((480, 640), {"long_side": 512}, (384, 512)),
        ((640, 480), {"long_side": 511}, (496, 368)),
        ((1000, 1000), {"area": 1024 * 1024}, (1024, 1024)),
        ((1920, 1080), {"area": 512 * 512}, (688, 384)),
        ((641, 479), {}, (640, 480)),
        ((1, 1), {"long_side": 64}, (64, 64)),
        ((1, 1), {}, (16, 16)),
        ((20000, 20), {"long_side": 512}, (512, 128)),
        ((20, 20000), {"long_side": 64}, (16, 64)),
        ((300, 200), {"long_side": 8}, (16, 16)),
        ((300, 200), {"long_side": 64, "multiple": 1}, (64, 43)),
    ],
)
def test_fit_size(size: tuple[int, int], options: dict[str, int], expected: tuple[int, int]) -> None:
    assert fit_size(*size, **options) == expected


@pytest.mark.parametrize("options", [{"long_side": 0}, {"area": -1}, {"multiple": 0}, {"long_side": 64, "area": 64}])
def test_fit_size_refuses(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        fit_size(10, 10, **options)


def test_area_and_ratio_stay_near() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        width, height = (int(n) for n in np.exp(rng.uniform(np.log(200), np.log(700), 2)))
        w, h = fit_size(width, height, area=512 * 512)
        assert w % 16 == h % 16 == 0
        assert abs(np.log(w / h / (width / height))) < 0.06
        assert abs(np.log(w * h / 512**2)) < 0.12


@pytest.mark.parametrize("size", [(640, 427), (427, 640), (1, 1), (900, 30), (30, 900), (20000, 20)])
def test_fit_and_back(size: tuple[int, int]) -> None:
    fitted = fit(Image.new("RGB", size, RED), long_side=128)
    assert fitted.image.width % 16 == fitted.image.height % 16 == 0
    assert np.asarray(fitted.image).reshape(-1, 3).tolist() == [list(RED)] * (fitted.image.width * fitted.image.height)
    assert fitted.restore(fitted.image).size == size


def test_fit_restores_the_place_of_things() -> None:
    strip = resize(natural(256).crop((0, 0, 256, 32)), (1024, 128))
    fitted = fit(strip, long_side=512)
    assert isinstance(fitted, Fit)
    assert fitted.image.size == (512, 128) and fitted.box == (0, 32, 512, 96)
    assert psnr(fitted.restore(fitted.image), strip) > 30
    assert psnr(fitted.crop(fitted.image), strip.resize((512, 64), Image.Resampling.LANCZOS)) > 60


def test_resize_leaves_the_right_size_alone() -> None:
    image = noise(5, 4)
    assert resize(image, (5, 4)) is image
    assert resize(image, (1, 1)).size == (1, 1)
