"""What bad input gets, end to end; `docs/bad-input.md` shows the same to people and is held to it here.

A case is the file, its exit code, and what is said of it on stderr: the whole line, without the program's name. A
message that quotes another library is cut where the quote begins, since its words may change.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_files import quad, write_all
from PIL import Image
from samples import WHITE, pixel

from relation_adapter.cli import editors, main
from relation_adapter.editor import FunctionEditor
from relation_adapter.images import open_picture
from relation_adapter.model.components import tiny, tiny_design
from relation_adapter.model.weights import save_model

DOC = (Path(__file__).parent.parent / "docs" / "bad-input.md").read_text(encoding="utf-8")
RESAVE = "open it in an image viewer and save it again as PNG or JPEG, or copy it again"

PICTURES = {
    "missing.png": (2, "error: missing.png: no such file; check the path"),
    "empty.png": (2, "error: empty.png: is empty (0 bytes); copy it again"),
    "text.png": (2, "error: text.png: not a picture in a known format; give a PNG, JPEG or WebP file"),
    "corrupt.png": (2, "error: corrupt.png: damaged or cut short ("),
    "truncated.jpg": (2, "error: truncated.jpg: damaged or cut short ("),
    "large.png": (2, "error: large.png: 11000x10000 is more than 100,000,000 pixels; make the picture smaller first"),
    "bomb.png": (2, "error: bomb.png: "),
    "animated.gif": (0, ""),
    "cmyk.jpg": (0, ""),
    "sixteen.png": (0, ""),
    "palette.png": (0, ""),
    "transparent.png": (0, ""),
    "rotated.jpg": (0, ""),
    "dot.png": (0, ""),
    "strip.png": (0, "note: strip.png is 20000x20; for the model its border is repeated until it is 4:1"),
}

QUADS = {
    "missing.jsonl": "error: missing.jsonl: cannot be read (",
    "nothing.jsonl": "error: nothing.jsonl: holds no quads; write one JSON object a line with before, after, source",
    "broken.jsonl": "error: broken.jsonl:2: not valid JSON (",
    "unknown.jsonl": "error: unknown.jsonl:1: unknown key 'sorce'; did you mean 'source'?",
    "lacking.jsonl": "error: lacking.jsonl:1: after is missing; every quad needs before, after, source",
    "absolute.jsonl": "error: absolute.jsonl:1: source is '/etc/passwd', an absolute path; "
    "write it relative to this file",
    "outside.jsonl": "error: outside.jsonl:1: source is '../../secret.png', outside of the file's folder; "
    "move the file above its pictures",
    "category.jsonl": "error: category.jsonl:1: category is 'editng'; did you mean 'editing'?",
    "number.jsonl": "error: number.jsonl:1: source is 3; it must be text",
    "latin.jsonl": "error: latin.jsonl:2: byte 14 is not UTF-8; save the file as UTF-8",
}

Said = Callable[[], str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    write_all(folder)
    return folder


@pytest.fixture
def said(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """What stderr holds: at most one line, without the program's name."""
    monkeypatch.chdir(folder)

    def read() -> str:
        text = capsys.readouterr().err
        assert text.count("\n") <= 1 and "Traceback" not in text
        return text.removeprefix("relation-adapter: ").strip()

    return read


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor that gives the source back, where no model is needed."""
    monkeypatch.setattr(editors, "open_editor", lambda *_: FunctionEditor(lambda request: request.source))


def check(said: str, expected: str) -> None:
    """The message begins as expected, is complete, and stands in the document."""
    assert said.startswith(expected) and bool(said) == bool(expected)
    assert expected.removeprefix("error: ") in DOC


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name: str, said: Said) -> None:
    code, expected = PICTURES[name]
    assert main(["edit", "--pair", "good.png", "good.png", name, "-o", f"out/{Path(name).stem}.png"]) == code
    check(said(), expected)
    assert Path("out", f"{Path(name).stem}.png").exists() == (code == 0)
    assert f"`{name}`" in DOC


@pytest.mark.parametrize("name", ["corrupt.png", "empty.png", "bomb.png", "missing.png"])
def test_a_bad_pair_is_refused_before_the_model_is_loaded(
    name: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editors, "open_editor", None)
    for pair in (["good.png", name], [name, "good.png"]):
        assert main(["edit", "--pair", *pair, "good.png", "dot.png", "-o", "pair"]) == 2
        check(said(), PICTURES[name][1])
    assert not Path("pair").exists()


@pytest.mark.usefixtures("fake")
def test_odd_pictures_are_taken_as_a_person_sees_them(said: Said) -> None:
    seen: dict[str, Image.Image] = {}
    for name in ("transparent.png", "rotated.jpg", "sixteen.png", "animated.gif", "dot.png", "strip.png"):
        main(["edit", "--pair", "good.png", "good.png", name, "-o", "seen.png", "--force"])
        seen[name] = open_picture("seen.png")
        said()
    assert pixel(seen["transparent.png"], 3, 3) == WHITE
    assert seen["rotated.jpg"].size == (8, 12)
    assert pixel(seen["sixteen.png"], 3, 3) == (156,) * 3  # 40,000 of 65,535
    assert [seen[name].size for name in ("animated.gif", "dot.png", "strip.png")] == [(12, 8), (1, 1), (20_000, 20)]


@pytest.mark.usefixtures("fake")
def test_before_and_after_of_different_sizes(said: Said) -> None:
    assert main(["edit", "--pair", "good.png", "wide.png", "good.png", "-o", "sizes.png"]) == 0
    check(said(), "note: good.png is 12x8, wide.png is 20x8; each is fitted to what the model reads")


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", QUADS)
def test_quads(name: str, said: Said) -> None:
    assert main(["edit", "--quads", name, "-o", "batch"]) == 2
    check(said(), QUADS[name])
    assert not Path("batch").exists()
    assert f"`{name}`" in DOC


# Weights and relations: the real loaders, with a tiny model


class Hostile:
    """Unpickled, it would make a file."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("run-by-a-pickle"),)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    """good, cut short, version 2, another program's, another design's weights; a relation of each of two models."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from relation_adapter.model.components import tiny
    from relation_adapter.model.weights import save_model
    from relation_adapter.pipeline import RelationPipeline

    save_model(folder / "tiny.safetensors", tiny("mini"))
    whole = (folder / "tiny.safetensors").read_bytes()
    (folder / "short.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "void.safetensors").touch()
    (folder / "words.safetensors").write_bytes(b"These are no weights at all.")
    for name in ("pickle.bin", "pickle.safetensors"):
        (folder / name).write_bytes(pickle.dumps(Hostile()))
    with safe_open(folder / "tiny.safetensors", "pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, folder / "version.safetensors", {**metadata, "version": "2"})
    save_file(tensors, folder / "foreign.safetensors", {"format": "pt"})
    key = next(key for key in tensors if key.startswith("adapter."))
    tensors["adapter.from_elsewhere"] = tensors.pop(key)
    save_file(tensors, folder / "design.safetensors", metadata)
    good = open_picture(folder / "good.png")
    for seed, name in enumerate(("look", "other")):
        pipe = RelationPipeline.from_components(tiny("mini", seed))
        pipe.encode_relation([(good, good)]).save(folder / f"{name}.safetensors")
    whole = (folder / "look.safetensors").read_bytes()
    (folder / "shortlook.safetensors").write_bytes(whole[:-40])
    return folder


WEIGHTS = {
    "gone.safetensors": "error: gone.safetensors: no such file or folder; check the path given as --model",
    "void.safetensors": "error: void.safetensors: not a safetensors file, or cut short (",
    "words.safetensors": "error: words.safetensors: not a safetensors file, or cut short (",
    "short.safetensors": "error: short.safetensors: not a safetensors file, or cut short (",
    "foreign.safetensors": "error: foreign.safetensors: is a safetensors file, but not a model of this program",
    "version.safetensors": "error: version.safetensors: is of format version 2, this program reads 1",
    "design.safetensors": "error: design.safetensors: lacks adapter.",
    "look.safetensors": "error: look.safetensors: is a safetensors file, but not a model of this program",
    "pickle.bin": "error: No model is called 'pickle.bin'; "
    "there are: mini, flux-dev, the folder of a saved pipeline, a .safetensors file",
    "pickle.safetensors": "error: pickle.safetensors: not a safetensors file, or cut short (",
}

RELATIONS = {
    "gone.safetensors": "error: gone.safetensors: no such file; check the path",
    "tiny.safetensors": "error: tiny.safetensors: is a model, not a relation; give it as the model",
    "foreign.safetensors": "error: foreign.safetensors: is a safetensors file but not a relation; make one from a pair",
    "shortlook.safetensors": "error: shortlook.safetensors: not a relation, or cut short (",
    "pickle.bin": "error: pickle.bin: not a relation, or cut short (",
    "other.safetensors": "error: other.safetensors: was encoded by another model (",
}


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name: str, said: Said) -> None:
    assert main(["edit", "--pair", "good.png", "good.png", "good.png", "-o", "never.png", "--model", name]) == 2
    check(said(), WEIGHTS[name])
    assert not Path("never.png").exists() and not Path("run-by-a-pickle").exists()


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", RELATIONS)
def test_relations(name: str, said: Said) -> None:
    assert main(["edit", "--relation", name, "good.png", "-o", "never.png", "--model", "tiny.safetensors"]) == 2
    check(said(), RELATIONS[name])
    assert not Path("never.png").exists() and not Path("run-by-a-pickle").exists()


@pytest.mark.usefixtures("models")
def test_the_good_ones_work(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", "tiny.safetensors"]
    assert main(["relation", "--pair", "good.png", "good.png", "-o", "mine.safetensors", "--name", "mine", *model]) == 0
    line = ["edit", "--relation", "mine.safetensors:0.5", "--relation", "look.safetensors", "good.png"]
    assert main([*line, "-o", "made.png", "--steps", "1", "--strength", "0.8", "--seed", "3", *model]) == 0
    assert said() == ""
    assert open_picture("made.png").size == (12, 8)
    assert main(["models", "info", "mine.safetensors"]) == 0
    assert "mine" in [line.split()[-1] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("models")
def test_a_batch_does_not_go_on_with_other_settings(said: Said) -> None:
    Path("one.jsonl").write_bytes(quad())
    line = ["edit", "--quads", "one.jsonl", "-o", "batch-of-one", "--model", "tiny.safetensors", "--steps", "1"]
    assert main(line) == 0
    assert said() == "1 edited, 0 failed, 0 done before"
    assert main([*line, "--strength", "0.5"]) == 2
    message = said()
    assert message.startswith("error: batch-of-one holds results of model 'tiny.safetensors@")
    assert " steps=1', not 'tiny.safetensors@" in message and " strength=0.5 steps=1'" in message


def test_a_batch_does_not_go_on_with_other_weights_of_the_same_name(models: Path, said: Said) -> None:
    Path("one.jsonl").write_bytes(quad())
    line = ["edit", "--quads", "one.jsonl", "-o", "batch-of-two", "--model", "run", "--steps", "1"]
    for seed, code in ((1, 0), (1, 0), (2, 2)):
        save_model("run/model.safetensors", tiny("mini", seed))  # as a training run leaves it
        assert main(line) == code
        message = said()
    assert "holds results of model 'run@" in message


def test_flags_without_effect_and_far_sizes_are_told(models: Path, said: Said) -> None:
    edit = ["edit", "--pair", "good.png", "good.png", "good.png", "--model", "tiny.safetensors"]
    assert main([*edit, "-o", "guided.png", "--guidance", "7"]) == 0
    assert "--guidance has no effect" in said()
    side = 3 * round(tiny_design("mini").native_area ** 0.5)
    assert main([*edit, "-o", "enlarged.png", "--size", f"{side}x{side}", "--steps", "1"]) == 0
    assert "was trained at about" in said()


@pytest.mark.parametrize("name", ["void", "words", "short", "pickle"])
def test_info_refuses_what_cannot_be_read(name: str, models: Path, said: Said) -> None:
    assert main(["models", "info", f"{name}.safetensors"]) == 2
    assert said().startswith(f"error: {name}.safetensors: ")
