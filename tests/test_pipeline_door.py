"""What the pipeline refuses, in one line and before anything has run; and the pipeline as an editor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pipelines import edit, largest, pair, pipeline, relation, shared, source

from relation_adapter import Editor, EditRequest, Relation, RelationEditor, RelationPipeline
from relation_adapter.errors import PictureError, RelationAdapterError, UsageError, WeightsError
from relation_adapter.model.components import tiny
from relation_adapter.model.weights import save_model

ONE = {"image": source(), "relation": relation("mini")}
TWO = {"image": [source(0), source(1)], "relation": relation("mini")}
PAIRS = {"image": [source(0), source(1)]}
EMBEDS = {"prompt_embeds": torch.zeros(1, 8, 24), "pooled_prompt_embeds": torch.zeros(1, 20)}

# name: (what the call is given, words of the message)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no image": (ONE | {"image": None}, "image is missing"),
    "an empty list": (ONE | {"image": []}, "image is missing"),
    "a path": (ONE | {"image": "photo.jpg"}, "open_picture"),
    "an array of four bands": (ONE | {"image": [np.zeros((8, 8, 4))]}, "(H, W, 3) or (N, H, W, 3)"),
    "an array of latents": (ONE | {"image": torch.zeros(1, 16, 8, 8)}, "(3, H, W) or (N, 3, H, W)"),
    "bytes as floats": (ONE | {"image": np.full((8, 8, 3), 255.0)}, "divide by 255"),
    "values below zero": (ONE | {"image": torch.full((3, 8, 8), -1.0)}, "(x + 1) / 2"),
    "not a number": (ONE | {"image": torch.full((3, 8, 8), float("nan"))}, "from nan to nan"),
    "an empty array": (ONE | {"image": np.zeros((0, 8, 3))}, "of shape (0, 8, 3)"),
    "batches of pairs": (
        ONE | {"relation": None, "pairs": (torch.zeros(2, 3, 8, 8), torch.zeros(1, 3, 8, 8))},
        "1 pictures after",
    ),
    "no relation": ({"image": source()}, "relation and pairs are missing"),
    "both": (ONE | {"pairs": [pair()]}, "both given"),
    "an empty relation": (ONE | {"relation": []}, "relation is empty"),
    "a path as relation": (ONE | {"relation": "look.safetensors"}, "relation is a str"),
    "too few relation lists": (TWO | {"relation": [[relation("mini")]]}, "1 lists of relations for 2 images"),
    "an empty relation list": (TWO | {"relation": [[relation("mini")], []]}, "relation is empty"),
    "no pair": (PAIRS | {"pairs": []}, "pairs is empty"),
    "a lone picture": (PAIRS | {"pairs": [source()]}, "(before, after)"),
    "too few pair lists": (PAIRS | {"pairs": [[pair()]]}, "1 lists of pairs for 2 images"),
    "a triple": (PAIRS | {"pairs": [(*pair(), source())]}, "(before, after)"),
    "too many instructions": (TWO | {"instruction": ["a", "b", "c"]}, "3 texts for 2 images"),
    "a number as instruction": (ONE | {"instruction": 3}, "instruction is a int"),
    "seed and generator": (ONE | {"seed": 1, "generator": torch.Generator()}, "seed and generator"),
    "too few seeds": (TWO | {"seed": [1]}, "seed has 1 entries for 2 results"),
    "seeds per copy": (ONE | {"seed": [1], "num_images_per_prompt": 2}, "seed has 1 entries for 2 results"),
    "too many generators": (ONE | {"generator": [torch.Generator()] * 2}, "generator has 2 entries for 1 results"),
    "half a seed": (ONE | {"seed": 0.5}, "seed=0.5"),
    "a negative seed": (ONE | {"seed": [-1]}, "seed=[-1]"),
    "a size far beyond": (ONE | {"size": (100_000, 100_000)}, "use up to about"),
    "size 0": (ONE | {"size": (0, 64)}, "size=(0, 64)"),
    "a negative size": (ONE | {"size": (64, -1)}, "size=(64, -1)"),
    "one side": (ONE | {"size": 64}, "size=64"),
    "height alone": (ONE | {"height": 64}, "height and width belong together"),
    "size twice": (ONE | {"height": 64, "width": 64, "size": (64, 64)}, "both given"),
    "a size in words": (ONE | {"size": "large"}, "own or native"),
    "an unknown shift": (ONE | {"shift_tokens": "all"}, "noisy_and_source, noisy, none"),
    "a shift without effect": (ONE | {"shift_tokens": "noisy"}, "has no effect"),
    "no room for text": (ONE | {"max_sequence_length": 0}, "max_sequence_length=0"),
    "a scale alone": (ONE | {"joint_attention_kwargs": 0.5}, "give a dict"),
    "no steps": (ONE | {"num_inference_steps": 0}, "num_inference_steps=0"),
    "half a step": (ONE | {"num_inference_steps": 1.5}, "num_inference_steps=1.5"),
    "no copies": (ONE | {"num_images_per_prompt": 0}, "num_images_per_prompt=0"),
    "guidance nan": (ONE | {"guidance_scale": float("nan")}, "guidance_scale=nan"),
    "an unknown output": (ONE | {"output_type": "jpeg"}, "pil, later, np, pt, latent"),
    "an unknown tensor": (ONE | {"callback_on_step_end_tensor_inputs": ["image"]}, "'image'"),
    "strength list": (ONE | {"strength": [1.0, 0.5]}, "strength has 2 values"),
    "own strength list": (ONE | {"relation": (relation("mini"), [1.0, 0.5])}, "strength has 2 values"),
    "strength of pairs": ({"image": source(), "pairs": [pair()], "strength": [1.0, 0.5]}, "strength has 2 values"),
    "strength inf": (ONE | {"strength": float("inf")}, "strength=inf"),
    "steps backwards": (ONE | {"strength_steps": (0.8, 0.2)}, "strength_steps=(0.8, 0.2)"),
    "steps beyond": (ONE | {"strength_steps": (0, 2)}, "strength_steps=(0, 2)"),
    "latents' length": (ONE | {"latents": torch.zeros(1, 5, 48)}, "latents[0] is (5, 48)"),
    "latents of a picture": (ONE | {"latents": torch.zeros(1, 12, 8, 8)}, "latents is a Tensor"),
    "latents for one": (TWO | {"latents": torch.zeros(1, 64, 48)}, "1 starts for 2 results"),
    "another design": (ONE | {"relation": relation("directed")}, "encode the pair again"),
    "an empty pair list": (PAIRS | {"pairs": [[pair()], []]}, "pairs[1] is empty"),
    "half of the embeds": (ONE | {"prompt_embeds": torch.zeros(1, 8, 24)}, "belong together"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_runs(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = pipeline("mini")
    for part in ("vae", "transformer"):
        monkeypatch.setattr(type(getattr(pipe, part)), "forward", None)
        monkeypatch.setattr(type(getattr(pipe, part)), "encode", None, raising=False)
    given, words = REFUSED[case]
    with pytest.raises(RelationAdapterError) as caught:
        pipe(**given)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_embeddings_of_the_wrong_shape_or_beside_an_instruction() -> None:
    given = {"image": [source()] * 3, "relation": relation("published")}
    wrong = [
        ({"instruction": "make it red"}, "both given"),
        ({"prompt_embeds": torch.zeros(2, 8, 24)}, "(3 or 1, tokens, 24)"),
        ({"prompt_embeds": torch.zeros(1, 8, 25)}, "(3 or 1, tokens, 24)"),
        ({"pooled_prompt_embeds": torch.zeros(1, 8, 20)}, "(3 or 1, 20)"),
    ]
    for change, words in wrong:
        with pytest.raises(UsageError) as caught:
            shared("published")(**given, **EMBEDS | change)
        assert words in str(caught.value)


def test_missing_encoders_are_named() -> None:
    pipe = pipeline("published")
    pipe.text_encoder = None
    with pytest.raises(UsageError, match="give prompt_embeds"):
        edit(pipe, relation=relation("published"))
    pipe.image_encoder = None
    with pytest.raises(UsageError, match="give a saved relation"):
        pipe.encode_relation([pair()])


def test_a_relation_of_other_weights_is_refused() -> None:
    other = pipeline("mini", seed=1)
    with pytest.raises(WeightsError, match="encoded by another model"):
        edit(other, relation=relation("mini"))
    with pytest.raises(WeightsError, match="encoded by another model"):
        other.check_relation(relation("mini"))
    shared("mini").check_relation(relation("mini"))


def test_a_relation_made_by_hand_needs_the_right_width_alone() -> None:
    made = relation("mini")
    by_hand = Relation(made.tokens, made.vector)
    assert (edit(shared("mini"), relation=by_hand) == edit(shared("mini"), relation=made)).all()
    with pytest.raises(WeightsError, match=r"needs \(1, any, 16\)"):
        edit(shared("mini"), relation=Relation(torch.zeros(1, 4, 17), made.vector))
    with pytest.raises(WeightsError, match="lacks a vector"):
        edit(shared("mini"), relation=Relation(made.tokens))


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(PictureError, match="no pixels"):
        edit(shared("mini"), image=Image.new("RGB", (0, 5)), relation=relation("mini"))


# Models by name


@pytest.mark.parametrize("name", ["minni", "some/repository", "/no/such/folder", "notes.txt"])
def test_an_unknown_model_is_told_what_there_is(name: str) -> None:
    with pytest.raises(UsageError, match=r"No model is called .*; there are: mini, flux-dev, the folder") as caught:
        RelationPipeline.from_pretrained(name)
    assert "\n" not in str(caught.value)


def broken_folders(folder: Path) -> dict[str, Path]:
    """Saved pipelines with something missing or damaged."""
    for name in ("index", "adapter", "weights"):
        pipeline("mini").save_pretrained(folder / name)
    (folder / "index" / "model_index.json").write_text("{")
    (folder / "adapter" / "adapter" / "config.json").unlink()
    weights = folder / "weights" / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (folder / "empty").mkdir()
    return {name: folder / name for name in ("index", "adapter", "weights", "empty")}


def test_a_damaged_folder_is_refused_in_a_line(tmp_path: Path) -> None:
    for name, folder in broken_folders(tmp_path).items():
        with pytest.raises(WeightsError) as caught:
            RelationPipeline.from_pretrained(folder)
        assert str(folder) in str(caught.value) and "\n" not in str(caught.value), name


def test_options_of_a_folder_do_not_pass_unnoticed_for_a_file(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", tiny("mini"))
    with pytest.raises(UsageError, match="variant does not apply"):
        RelationPipeline.from_pretrained(tmp_path / "model.safetensors", variant="fp16")


# The editor


def test_the_editor_makes_the_edit_of_the_pipeline() -> None:
    editor: Editor = RelationEditor(shared("directed"), num_inference_steps=3, strength=0.5)
    request = EditRequest([pair()], source(), "make it red", seed=6)
    wanted = shared("directed")(
        image=source(), pairs=[pair()], instruction="make it red", seed=6, num_inference_steps=3, strength=0.5
    ).images[0]
    result = editor.edit(request)
    assert largest(result.image, wanted) == 0
    assert result.seconds > 0
    assert isinstance(editor, Editor)


def test_the_editor_encodes_a_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, encoded = pipeline("mini"), []
    encode = pipe.encode_relation
    monkeypatch.setattr(pipe, "encode_relation", lambda pairs, **how: (encoded.append(pairs), encode(pairs, **how))[1])
    editor = RelationEditor(pipe)
    # The same pixels from other objects; then the pair swapped, and two pairs: other relations.
    requests = [[pair(1)], [pair(1)], [pair(1)[::-1]], [pair(1), pair(2)], [pair(1)]]
    reused = [editor.edit(EditRequest(pairs, source())).details["relation_reused"] for pairs in requests]
    assert reused == [False, True, False, False, True] and len(encoded) == 3


def test_the_editor_encodes_an_instruction_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, read = pipeline("published"), []
    encode = pipe.encode_prompt
    monkeypatch.setattr(pipe, "encode_prompt", lambda text, *more: (read.append(text), encode(text, *more))[1])
    editor = RelationEditor(pipe, num_inference_steps=1)
    texts = ["hat", "hat", "snow", None, "hat"]
    made = [editor.edit(EditRequest([pair()], source(), text)).image for text in texts]
    assert read == ["hat", "snow", None]
    assert largest(made[0], made[4]) == 0 and largest(made[0], made[2]) > 0
    wanted = pipe(image=source(), pairs=[pair()], instruction="hat", seed=0, num_inference_steps=1).images[0]
    assert largest(made[0], wanted) == 0


def test_relations_given_to_the_editor_stand_in_for_the_pairs() -> None:
    pipe, one = shared("directed"), relation("directed")
    editor = RelationEditor(pipe, relations=[(one, 0.5)], num_inference_steps=1)
    wanted = pipe(image=source(), relation=one, strength=0.5, seed=0, num_inference_steps=1).images[0]
    assert largest(editor.edit(EditRequest([], source())).image, wanted) == 0


def test_the_editors_name_tells_the_strength() -> None:
    pipe = shared("mini")
    assert RelationEditor(pipe).name == RelationEditor(pipe, strength=1).name == "tiny-mini"
    assert RelationEditor(pipe, strength=0.5).name == "tiny-mini strength 0.5"
    assert RelationEditor(pipe, "mine", strength=0.5).name == "mine"


def test_the_editor_refuses_a_request_without_pairs() -> None:
    with pytest.raises(UsageError, match="pairs is empty"):
        RelationEditor(shared("mini")).edit(EditRequest([], source()))
