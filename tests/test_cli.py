"""The command line up to the editor, which is a fake here: files in, files out, messages and exit codes."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from batches import make_quads
from PIL import Image
from samples import noise

from relation_adapter.cli import editors, flags, main
from relation_adapter.editor import Editor, EditRequest, FunctionEditor, Pair
from relation_adapter.errors import UsageError
from relation_adapter.evaluate.generate import item_seed
from relation_adapter.evaluate.rows import read_rows
from relation_adapter.images import open_picture, save_picture

Run = Callable[..., int]


class Fake:
    """In the place of the model: gives back the source turned upside down and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[EditRequest] = []
        self.pairs: list[Sequence[Pair] | None] = []
        self.options: list[Namespace] = []

    def open(self, options: Namespace, pairs: Sequence[Pair] | None) -> Editor:
        self.options.append(options)
        self.pairs.append(pairs)
        return FunctionEditor(self.edit, options.model)

    def edit(self, request: EditRequest) -> Image.Image:
        self.requests.append(request)
        return turned(request.source)


def turned(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_180)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.setattr(editors, "open_editor", fake.open)
    return fake


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in a folder with a pair and four photos, one of them in another folder."""
    monkeypatch.chdir(tmp_path)
    names = ("before.png", "after.png", "photos/a.png", "photos/b.jpg", "photos/.hidden.png", "more/c.png", "d.png")
    for seed, name in enumerate(names):
        save_picture(noise(12, 8, seed), tmp_path / name)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    return lambda line, *more: main([*line.split(), *more])


PAIR = "edit --pair before.png after.png"


def files(folder: Path | str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


# One picture, many pictures


def test_one_picture_to_a_file(run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{PAIR} d.png -o new/out.png --seed 7 --instruction", "turn it") == 0
    assert open_picture("new/out.png").tobytes() == turned(noise(12, 8, 6)).tobytes()
    out, err = capsys.readouterr()
    assert out == f"{Path('new/out.png')}\n"
    assert err == ""
    (request,) = fake.requests
    assert (request.seed, request.instruction) == (7, "turn it")
    assert [side.tobytes() for side in request.pairs[0]] == [noise(12, 8, seed).tobytes() for seed in (0, 1)]


@pytest.mark.parametrize("out", ["made", "made/", "made.png/", "here"])
def test_one_picture_into_a_folder(run: Run, fake: Fake, out: str) -> None:
    Path("here").mkdir()
    assert run(f"{PAIR} photos/b.jpg -o {out}") == 0
    assert files(out) == {"b.png"}


def test_folders_and_files_between_flags(run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("edit photos --pair before.png after.png more/c.png --seed 3 photos/a.png -o out d.png") == 0
    names = ["a.png", "b.png", "c.png", "d.png"]
    assert files("out") == set(names)
    assert capsys.readouterr().out.split() == [str(Path("out") / name) for name in names]
    assert [request.seed for request in fake.requests] == [3] * 4  # a result depends on its own source and the seed


def test_several_pairs_and_relations_reach_the_editor(run: Run, fake: Fake) -> None:
    assert run(f"{PAIR} --pair d.png more/c.png --relation x.safetensors:0.5 --strength 0.3 d.png -o o.png") == 0
    assert len(fake.pairs[0] or ()) == 2
    assert fake.options[0].relation == [flags.RelationFile(Path("x.safetensors"), 0.5)]
    assert fake.options[0].strength == 0.3


def test_a_folder_with_one_picture_is_still_many(run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{PAIR} more -o out.png") == 2
    assert "give a folder" in capsys.readouterr().err
    assert run(f"{PAIR} more -o out") == 0
    assert files("out") == {"c.png"}


def test_equal_names_stay_apart(run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    save_picture(noise(5, 5), "photos/A.bmp")
    assert run(f"{PAIR} photos -o out") == 0
    assert files("out") == {"A-bmp.png", "a-png.png", "b.png"}
    save_picture(noise(5, 5), "more/a.png")
    assert run(f"{PAIR} photos/a.png more/a.png -o two") == 2
    assert "would both be written as" in capsys.readouterr().err


# Nothing is lost


def test_results_are_not_overwritten_unless_told(run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/a.png").write_bytes(b"mine")
    assert run(f"{PAIR} photos -o out") == 2
    assert "a.png: there already; --force overwrites" in capsys.readouterr().err
    assert fake.options == []  # told before the model is loaded
    assert run(f"{PAIR} photos -o out --skip-existing") == 0
    assert "1 of 2 are there already; they are kept" in capsys.readouterr().err
    assert Path("out/a.png").read_bytes() == b"mine"
    assert files("out") == {"a.png", "b.png"}
    assert run(f"{PAIR} photos -o out --force") == 0
    assert open_picture("out/a.png").size == (12, 8)


@pytest.mark.parametrize("line", ["d.png -o d.png", "d.png -o before.png", "photos/a.png d.png -o photos"])
def test_an_input_is_never_overwritten(run: Run, fake: Fake, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    old = {path: path.read_bytes() for path in Path().rglob("*.png")}
    assert run(f"{PAIR} {line} --force") == 2
    assert "would overwrite" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().rglob("*.png")} == old


def test_a_bad_picture_among_many_is_named_and_the_rest_written(
    run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos/bad.png").write_bytes(b"no picture")
    assert run(f"{PAIR} photos missing.png -o out") == 1
    assert files("out") == {"a.png", "b.png"}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"relation-adapter: {Path('photos/bad.png')}: not a picture")
    assert lines[1].startswith("relation-adapter: missing.png: no such file")
    assert "2 of 4 could not be edited" in lines[2]


def test_an_edit_that_the_editor_refuses_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(request: EditRequest) -> Image.Image:
        raise UsageError("too odd")

    monkeypatch.setattr(editors, "open_editor", lambda *_: FunctionEditor(refuse))
    assert run(f"{PAIR} photos -o out") == 1
    assert f"{Path('photos/a.png')}: too odd" in capsys.readouterr().err
    assert run(f"{PAIR} d.png -o out.png") == 2
    assert capsys.readouterr().err == "relation-adapter: error: too odd\n"


def test_a_defect_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editors, "open_editor", lambda *_: FunctionEditor(lambda request: 1 / 0))  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        run(f"{PAIR} photos -o out")


def test_ctrl_c_says_how_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(request: EditRequest) -> Image.Image:
        if request.source.size != (12, 8):
            raise KeyboardInterrupt
        return request.source

    monkeypatch.setattr(editors, "open_editor", lambda *_: FunctionEditor(stop))
    save_picture(noise(3, 3), "photos/b.jpg")
    assert run(f"{PAIR} photos -o out") == 130
    assert "--skip-existing" in capsys.readouterr().err
    assert files("out") == {"a.png"}
    make_quads(Path("set"), 2)
    assert run("edit --quads set/quads.jsonl -o batch") == 130
    assert "run the same command again" in capsys.readouterr().err


# Batches


def test_quads_become_rows_and_a_second_run_has_nothing_to_do(
    run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    make_quads(Path("set"), 3)
    for text in ("3 edited, 0 failed, 0 done before", "0 edited, 0 failed, 3 done before"):
        assert run("edit --quads set/quads.jsonl -o batch --seed 5") == 0
        out, err = capsys.readouterr()
        assert out == f"{Path('batch/rows.jsonl')}\n"
        assert text in err
    assert [row["seed"] for row in read_rows("batch")] == [item_seed(5, index) for index in range(3)]
    assert fake.pairs == [None, None]  # every quad brings its own
    assert len(fake.requests) == 3


def test_a_bad_quad_is_named_and_retried(run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    make_quads(Path("set"), 3)
    picture = Path("set/source 1.png").read_bytes()
    Path("set/source 1.png").write_bytes(picture[:100])
    assert run("edit --quads set/quads.jsonl -o batch") == 1
    err = capsys.readouterr().err
    assert "quad 2 of 3" in err and "source 1.png: damaged or cut short" in err and "2 edited, 1 failed" in err
    Path("set/source 1.png").write_bytes(picture)
    assert run("edit --quads set/quads.jsonl -o batch") == 0
    assert "1 edited, 0 failed, 2 done before" in capsys.readouterr().err


@pytest.mark.parametrize("more", ["d.png", "--pair before.png after.png", "--relation r", "--force", "--skip-existing"])
def test_what_does_not_go_with_quads(run: Run, fake: Fake, more: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_quads(Path("set"), 1)
    assert run(f"edit --quads set/quads.jsonl -o batch {more}") == 2
    assert "does not go with --quads" in capsys.readouterr().err
    assert not Path("batch").exists()


# Wrong usage: exit 2, one line


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "COMMAND"),
        ("edit", "-o/--out"),
        (f"{PAIR} d.png -o o.png --sise 3x3", "unrecognized arguments: --sise"),
        (f"{PAIR} d.png -o o.png --see 3", "unrecognized arguments: --see"),
        (f"{PAIR} d.png -o o.png --size 3", "'3' is not a size"),
        (f"{PAIR} d.png -o o.png --size 0x3", "from 1 to"),
        (f"{PAIR} d.png -o o.png --seed -1", "-1 is not from 0"),
        (f"{PAIR} d.png -o o.png --steps 2.5", "'2.5' is not a whole number"),
        (f"{PAIR} d.png -o o.png --strength nan", "'nan' is not a finite number"),
        (f"{PAIR} d.png -o o.png --guidance -1", "-1 is below 0"),
        (f"{PAIR} d.png -o o.png --memory 13", "invalid choice: 13"),
        (f"{PAIR} d.png -o o.png --relation r.safetensors:much", "'much'"),
        ("train mini --run r --set steps", "key=value"),
        ("relation -o r.safetensors", "--pair"),
        (f"{PAIR} d.png -o o.png --strength 1,x", "'x' is not a finite number"),
        (f"{PAIR} d.png -o o.png --strength-steps 0.5", "write FROM:TO with 0 <= FROM < TO <= 1"),
        (f"{PAIR} d.png -o o.png --strength-steps 0.5:0.5", "write FROM:TO"),
        (f"{PAIR} d.png -o o.png --lora mine:much", "write FILE or FILE:WEIGHT"),
        (f"{PAIR} d.png -o o.png --best-of 0", "0 is not from 1 to 100"),
        ("models", "COMMAND"),
    ],
)
def test_wrong_flags(run: Run, line: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        run(line)
    assert exit.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("relation-adapter: error: ") and text.strip("'") in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("edit d.png -o o.png", "nothing shows the edit"),
        (f"{PAIR} -o o.png", "no SOURCE"),
        (f"{PAIR} photos d.png -o o.png", "names one picture, but there are 3 sources"),
        (f"{PAIR} photos -o before.txt", "is a file; give a folder"),
        (f"{PAIR} d.png -o o.gif", "cannot save as '.gif'"),
        (f"{PAIR} d.png -o before.txt/x/o.png", "cannot be created"),
        (f"{PAIR} empty -o out", "holds no pictures"),
        (f"{PAIR} d.png -o o.png --model minni", "did you mean mini?"),
        (f"{PAIR} d.png -o o.png --base x", "--base goes with --model flux-dev; it means nothing to mini"),
        (f"{PAIR} d.png -o o.png --offline", "--offline goes with --model flux-dev"),
        (f"{PAIR} d.png -o o.png --offline --model flux-dv", "did you mean flux-dev?"),
        (f"{PAIR} d.png -o o.png --fuse-lora", "--fuse-lora: there is no LoRA to fuse"),
        (f"{PAIR} d.png -o o.png --fuse-lora --lora none --model flux-dev", "--fuse-lora: there is no LoRA to fuse"),
        (f"{PAIR} d.png -o o.png --model gone/model.safetensors", "no such file or folder"),
        ("relation --pair before.png after.png -o r.bin", "end the name in .safetensors"),
        ("relation --pair before.png after.png -o there.safetensors", "there already; --force"),
        ("train minni --run r", "minni"),
        ("train mini", "needs --run FOLDER"),
        ("models info minni", "did you mean mini?"),
    ],
)
def test_wrong_usage(run: Run, fake: Fake, line: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    Path("before.txt").touch()
    Path("there.safetensors").touch()
    assert run(line) == 2
    err = capsys.readouterr().err
    assert err.startswith("relation-adapter: error: ") and text in err and err.count("\n") == 1
    assert fake.options == []


def test_memory_is_taken_and_said_to_have_no_effect(run: Run, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{PAIR} d.png -o o.png --memory 12") == 0
    assert "note: --memory has no effect on mini" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "path", "strength"),
    [
        ("look.safetensors", "look.safetensors", 1.0),
        ("look.safetensors:0.5", "look.safetensors", 0.5),
        ("look.safetensors:-1e-1", "look.safetensors", -0.1),
        (r"C:\looks\look.safetensors", r"C:\looks\look.safetensors", 1.0),
        (r"C:\looks\look.safetensors:2", r"C:\looks\look.safetensors", 2.0),
        ("C:/look.safetensors", "C:/look.safetensors", 1.0),
        ("12:30.safetensors", "12:30.safetensors", 1.0),
    ],
)
def test_a_relation_and_its_strength(text: str, path: str, strength: float) -> None:
    assert flags.relation_file(text) == flags.RelationFile(Path(path), strength)


@pytest.mark.parametrize("text", ["", ":0.5", "look:", "look:nan", "look:inf", "look:lots"])
def test_no_relation(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        flags.relation_file(text)


def test_a_file_with_a_colon_and_a_number_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "look:2").touch()
    assert flags.relation_file(str(tmp_path / "look:2")).path.name == "look:2"
