"""A look that a pair tells is written as a table for other programs, and makes the same edit there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from samples import natural
from scipy.interpolate import RegularGridInterpolator

from relation_adapter import RelationPipeline
from relation_adapter.cli import main
from relation_adapter.errors import UsageError
from relation_adapter.pipeline.cube import cube_of
from relation_adapter.units import Unit, from_unit, to_unit

Edit = Callable[[Image.Image], Image.Image]


def crop(left: int, top: int, side: int = 128) -> Image.Image:
    return natural(256).crop((left, top, left + side, top + side))


def read(text: str) -> RegularGridInterpolator:
    """As the specification says: red is the fastest, straight between the colours."""
    lines = [line for line in text.splitlines() if line and not line.startswith("TITLE")]
    name, size = lines[0].split()
    assert name == "LUT_3D_SIZE"
    table = np.array([line.split() for line in lines[1:]], float).reshape(int(size), int(size), int(size), 3)
    steps = np.linspace(0, 1, int(size))
    return RegularGridInterpolator((steps, steps, steps), table.transpose(2, 1, 0, 3))


def sepia(image: Image.Image) -> Image.Image:
    weights = np.float32([[0.393, 0.349, 0.272], [0.769, 0.686, 0.534], [0.189, 0.168, 0.131]])
    return from_unit((to_unit(image) @ weights).clip(0, 1))


def lifted(image: Image.Image) -> Image.Image:
    return image.point([round(255 * (0.1 + 0.9 * (level / 255) ** 0.8)) for level in range(256)] * 3)


def less_hue(image: Image.Image) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    return Image.merge("HSV", (hue.point(lambda one: (one + 25) % 256), saturation, value)).convert("RGB")


@pytest.mark.parametrize(("look", "most"), [(sepia, 1e-5), (lifted, 1e-5), (ImageOps.invert, 1e-5), (less_hue, 2e-3)])
def test_the_table_makes_the_edit_that_we_make(look: Edit, most: float) -> None:
    pipe, source = RelationPipeline.from_pretrained("mini"), crop(128, 128)
    pipe.set_progress_bar_config(disable=True)
    relation = pipe.encode_relation([(crop(0, 0), look(crop(0, 0)))], name='my "look"')
    text = cube_of(relation)
    assert text.startswith("TITLE \"my 'look'\"\nLUT_3D_SIZE 33\n")
    made: Unit = read(text)(to_unit(source)).astype(np.float32)
    ours = to_unit(pipe(image=source, relation=relation, seed=0).images[0])
    assert float(np.square(made - ours).mean()) < most
    assert float(np.square(made - to_unit(look(source))).mean()) < 0.2 * float(np.square(ours - to_unit(source)).mean())


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (ImageOps.mirror, "moves or mixes pixels"),
        (lambda image: image.filter(ImageFilter.GaussianBlur(2)), "mixes pixels"),
        (lambda image: image.filter(ImageFilter.ModeFilter(9)), "no look that is told exactly"),
        (lambda image: ImageEnhance.Contrast(image).enhance(1.3), "as a whole"),
    ],
    ids=["mirror", "blur", "mode", "contrast"],
)
def test_what_is_more_than_colours_is_refused(edit: Edit, why: str) -> None:
    relation = RelationPipeline.from_pretrained("mini").encode_relation([(crop(0, 0), edit(crop(0, 0)))])
    with pytest.raises(UsageError, match=rf"{why}.* save it as \.safetensors"):
        cube_of(relation)


def test_the_command_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    crop(0, 0).save("before.png")
    sepia(crop(0, 0)).save("after.png")
    command = ["relation", "--pair", "before.png", "after.png", "-o"]
    assert main([*command, "looks/sepia.cube"]) == 0
    assert capsys.readouterr().out == "looks/sepia.cube\n"
    assert read(Path("looks/sepia.cube").read_text())([1.0, 1.0, 1.0]).round(2).tolist() == [[1.0, 1.0, 0.94]]
    assert main([*command, "looks/sepia.cube"]) == 2
    assert "--force" in capsys.readouterr().err
    ImageOps.mirror(crop(0, 0)).save("after.png")
    assert main([*command, "mirror.cube"]) == 2
    assert "save it as .safetensors" in capsys.readouterr().err
    assert not Path("mirror.cube").exists()
    assert main([*command, "look.txt"]) == 2
    assert "end the name in .safetensors or .cube" in capsys.readouterr().err
