"""Pictures of every kind, real files on disk: what opens, what is refused, and saving."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from samples import RED, WHITE, natural, noise, pixel, psnr

from relation_adapter.errors import PictureError
from relation_adapter.files import write_whole
from relation_adapter.images import open_picture, save_picture, to_rgb


def refused(path: Path | str, **options: int) -> str:
    """The one line that opening `path` gives; it names the file."""
    with pytest.raises(PictureError) as caught:
        open_picture(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert Path(path).name.splitlines()[0] in message
    return message


# Opening what is fine


def test_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste(RED, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned a quarter clockwise: left becomes top.
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = open_picture(tmp_path / "turned.jpg")
    assert upright.size == (20, 40)
    assert pixel(upright, 10, 3)[1] < 60 and pixel(upright, 10, 36)[1] > 200


def test_damaged_exif_does_not_refuse_sound_pixels(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert open_picture(tmp_path / "odd.jpg").size == (8, 8)


def test_transparency_goes_on_white(tmp_path: Path) -> None:
    rgba = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    rgba.putpixel((1, 1), (*RED, 255))
    rgba.putpixel((2, 2), (0, 0, 0, 128))
    rgba.save(tmp_path / "rgba.png")
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 1), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    for name in ("rgba.png", "palette.png"):
        image = open_picture(tmp_path / name)
        assert image.mode == "RGB"
        assert pixel(image, 0, 0) == WHITE and pixel(image, 1, 1) == RED
    assert pixel(open_picture(tmp_path / "rgba.png"), 2, 2) == (127, 127, 127)


def test_keyed_rgb_and_gray_alpha_go_on_white(tmp_path: Path) -> None:
    keyed = Image.new("RGB", (2, 1), (0, 0, 0))
    keyed.putpixel((1, 0), RED)
    keyed.save(tmp_path / "keyed.png", transparency=(0, 0, 0))
    assert [pixel(open_picture(tmp_path / "keyed.png"), x, 0) for x in (0, 1)] == [WHITE, RED]
    Image.new("LA", (2, 1), (0, 0)).save(tmp_path / "la.png")
    assert pixel(open_picture(tmp_path / "la.png"), 0, 0) == WHITE


def test_16_bit_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert np.asarray(open_picture(tmp_path / name))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "gray"),
    [
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[-5, 32896, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, 51.0, 102.0]], np.float32), [0, 51, 102]),
        (np.array([[0.0, 5e5, 1e6]], np.float32), [0, 128, 255]),
    ],
)
def test_pictures_without_a_range(values: npt.NDArray[np.generic], gray: list[int]) -> None:
    assert np.asarray(to_rgb(Image.fromarray(values)))[0, :, 1].tolist() == gray


def test_cmyk_gray_and_one_bit(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=95)
    red, green, blue = pixel(open_picture(tmp_path / "print.jpg"), 8, 8)
    assert red > 240 and green < 15 and blue < 15
    Image.new("L", (4, 4), 77).save(tmp_path / "gray.png")
    assert pixel(open_picture(tmp_path / "gray.png"), 0, 0) == (77, 77, 77)
    Image.new("1", (4, 4), 1).save(tmp_path / "bit.png")
    assert pixel(open_picture(tmp_path / "bit.png"), 0, 0) == WHITE


@pytest.mark.parametrize("name", ["film.gif", "film.webp", "film.png", "film.mpo"])
def test_animation_gives_its_first_frame(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, "blue", "green")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    assert np.abs(np.subtract(pixel(open_picture(tmp_path / name), 4, 4), RED)).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (20000, 20), (20, 20000)])
def test_odd_sizes_open(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, RED).save(tmp_path / "odd.png")
    assert open_picture(tmp_path / "odd.png").size == size


def test_the_first_picture_of_a_process_may_be_of_any_format(tmp_path: Path) -> None:
    noise(8, 8).save(tmp_path / "first.tif")
    script = "import sys; from relation_adapter.images import open_picture; print(open_picture(sys.argv[1]).size)"
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path / "first.tif")], capture_output=True, text=True)
    assert run.stdout == "(8, 8)\n"


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), RED).save(tmp_path / "really_png.jpg", "PNG")
    assert pixel(open_picture(tmp_path / "really_png.jpg"), 0, 0) == RED


# Refusing what is not


def test_missing_folder_and_empty(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.png")
    assert "folder" in refused(tmp_path)
    (tmp_path / "empty.png").touch()
    assert "empty" in refused(tmp_path / "empty.png")
    assert "name too long" in refused(tmp_path / ("x" * 300)).lower()
    with pytest.raises(PictureError, match="cannot be opened"):
        open_picture("a\0b.png")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "regular file" in refused(tmp_path / "pipe.png")


def test_text_and_programs_are_not_pictures(tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("Dear all,\n")
    assert "not a picture" in refused(tmp_path / "letter.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "drawing.eps")
    assert "not a picture" in refused(tmp_path / "drawing.eps")


def test_a_name_with_a_line_break_stays_one_line(tmp_path: Path) -> None:
    (tmp_path / "two\nlines.png").write_text("x")
    refused(tmp_path / "two\nlines.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path, suffix: str) -> None:
    noise(48, 48).save(tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    for share in (0.02, 0.1, 0.3, 0.6, 0.9):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(data[: max(1, int(len(data) * share))])
        refused(cut)


def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    rng = np.random.default_rng(0)
    outcomes = set()
    for suffix in ("png", "jpg", "webp", "gif", "tif"):
        noise(24, 24).save(tmp_path / f"whole.{suffix}")
        data = np.frombuffer((tmp_path / f"whole.{suffix}").read_bytes(), np.uint8)
        for _ in range(60):
            broken = data.copy()
            broken[rng.integers(0, min(len(broken), 200), 6)] = rng.integers(0, 256, 6)
            (tmp_path / f"broken.{suffix}").write_bytes(broken.tobytes())
            try:
                outcomes.add(open_picture(tmp_path / f"broken.{suffix}").mode)
            except PictureError as error:
                assert "\n" not in str(error)
                outcomes.add("refused")
    assert outcomes == {"RGB", "refused"}
    assert not recwarn.list


def bomb(path: Path, width: int, height: int) -> None:
    """A PNG of a few bytes whose header claims width x height."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [11_000, 60_000])
def test_a_bomb_is_refused_from_its_header(tmp_path: Path, side: int) -> None:
    bomb(tmp_path / "bomb.png", side, side)
    limit, start = Image.MAX_IMAGE_PIXELS, time.perf_counter()
    assert "smaller" in refused(tmp_path / "bomb.png")
    assert time.perf_counter() - start < 0.5
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_the_callers(tmp_path: Path) -> None:
    Image.new("RGB", (30, 30)).save(tmp_path / "ok.png")
    assert "30x30" in refused(tmp_path / "ok.png", max_pixels=899)
    assert open_picture(tmp_path / "ok.png", max_pixels=900).size == (30, 30)


def test_an_empty_picture_in_memory_is_refused() -> None:
    with pytest.raises(PictureError, match="no pixels"):
        to_rgb(Image.new("RGB", (0, 5)))


# Saving


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".bmp", ".tif", ".tiff"])
def test_save_and_open(tmp_path: Path, suffix: str) -> None:
    image = natural()
    path = tmp_path / "new" / "folder" / f"out{suffix}"
    save_picture(image, path)
    assert psnr(open_picture(path), image) > 29
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_jpeg_keeps_colours_at_full_resolution(tmp_path: Path) -> None:
    image = natural()
    save_picture(image, tmp_path / "a.jpg")
    image.save(tmp_path / "halved.jpg", quality=95)
    assert psnr(open_picture(tmp_path / "a.jpg"), image) > psnr(open_picture(tmp_path / "halved.jpg"), image) + 2


def test_saved_files_are_readable_by_others(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        save_picture(noise(4, 4), tmp_path / "a.png")
    finally:
        os.umask(old)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.gif"])
def test_unknown_suffix_names_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(PictureError, match=r"\.png"):
        save_picture(noise(4, 4), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_picture(Image.new("RGB", (4, 4), RED), tmp_path / "a.png")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PictureError, match="No space left on device") as caught:
        save_picture(noise(4, 4), tmp_path / "a.png")
    assert isinstance(caught.value.__cause__, OSError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    assert pixel(open_picture(tmp_path / "a.png"), 0, 0) == RED


def test_what_the_format_or_the_folder_cannot_take(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="70000x1"):
        save_picture(Image.new("RGB", (70_000, 1)), tmp_path / "wide.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(PictureError, match="cannot be written"):
        save_picture(noise(4, 4), tmp_path / "file" / "a.png")


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    path, sizes = tmp_path / "data", set()
    write_whole(path, b"0" * 100_000)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            sizes.add(len(path.read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        write_whole(path, b"1" * 200_000)
        write_whole(path, b"0" * 100_000)
    stop.set()
    reader.join()
    assert sizes <= {100_000, 200_000}
