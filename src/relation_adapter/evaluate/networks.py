"""The networks that metrics look through: where their published weights lie, and how each is opened.

None of their licences forbids commercial use, and none needs torchvision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.evaluate.weight_files import ALEXNET, INCEPTION, WeightFile, find_file
from relation_adapter.hub import FLUX_DEV, Part, Places, find
from relation_adapter.loading import silent, unusable

if TYPE_CHECKING:
    from torch import Tensor, nn

_FILES = ("config.json", "preprocessor_config.json")
_PATTERNS = (*_FILES, "model*.safetensors", "model.safetensors.index.json")


def _part(name: str, repo: str, revision: str, size: int, licence: str) -> Part:
    local = (repo.rpartition("/")[2], repo)
    return Part(name, repo, revision, _PATTERNS, None, size, False, licence, local=local, needs=_FILES)


# Revisions that several independent public lists of downloads agree on.
CLIP = _part("clip", "openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41", 1_710_540_580, "MIT")
DINO = _part("dino", "facebook/dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415", 346_345_912, "Apache-2.0")
SIGLIP = FLUX_DEV["image_encoder"]

# By name: the class of transformers that opens it, and its output that is the vector of a picture.
ENCODERS: Mapping[str, tuple[Part, str, str]] = {
    "clip": (CLIP, "CLIPVisionModelWithProjection", "image_embeds"),
    "siglip": (SIGLIP, "SiglipVisionModel", "pooler_output"),
    "dino": (DINO, "Dinov2Model", "pooler_output"),
}
FILES: Mapping[str, WeightFile] = {"alexnet": ALEXNET, "inception": INCEPTION}
NAMES = (*ENCODERS, *FILES, "dreamsim")


@dataclass
class Networks:
    """Where the networks of a run are looked for, and those that are open.

    places: the folder of weights, the hub's cache, offline. given: by a network's name, another place than the
    published one: a path, or OWNER/NAME on the hub. Raises UsageError on a name that is none.
    """

    places: Places = field(default_factory=Places)
    given: Mapping[str, str] = field(default_factory=dict)
    _open: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in self.given:
            if name not in NAMES:
                raise UsageError(f"no network is called {name!r}; there are: {', '.join(NAMES)}")

    def told(self, name: str) -> str:
        """Which weights a network has, in a few words."""
        if name in self.given:
            return self.given[name]
        if name in FILES:
            return FILES[name].name
        part = ENCODERS[name][0] if name in ENCODERS else None
        return name if part is None else f"{part.repo}@{part.revision[:8]}"

    def encoder(self, name: str) -> Encoder:
        """One of ENCODERS, opened once. Raises WeightsError."""
        return self._once(name, lambda: open_encoder(name, self.places, self.given.get(name)))

    def file(self, name: str) -> Path:
        """Where one of FILES lies. Raises WeightsError."""
        return find_file(FILES[name], self.places, self.given.get(name))

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._open:
            self._open[name] = make()
        return self._open[name]


class Encoder:
    """From a picture's file to its vector; each file is seen once, alone: batches round differently."""

    def __init__(self, model: nn.Module, processor: Any, output: str) -> None:
        self._model, self._processor, self._output = model, processor, output
        self._known: dict[str, Tensor] = {}

    def __call__(self, path: Path) -> Tensor:
        """(F,) in float32, on the CPU. Raises PictureError."""
        import torch

        from relation_adapter.images import open_picture

        key = str(path)
        if key not in self._known:
            pixels = self._processor(images=open_picture(path), return_tensors="pt").pixel_values
            with torch.no_grad():
                seen = self._model(pixels.to(next(self._model.parameters()).device))
            self._known[key] = getattr(seen, self._output)[0].float().cpu()
        return self._known[key]


def open_encoder(name: str, places: Places, given: str | None = None) -> Encoder:
    """One of ENCODERS from its folder, in float32, on the GPU if there is one.

    Raises WeightsError where it is nowhere, not whole or of another kind.
    """
    import transformers

    part, kind, output = ENCODERS[name]
    folder = find(part, places, given)
    with silent(), unusable(folder):
        model, info = getattr(transformers, kind).from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype="float32"
        )
        # The Pillow form of the processor: the same with and without torchvision.
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
    if lacking := sorted(info["missing_keys"]) or sorted(info["mismatched_keys"]):
        raise WeightsError(f"{folder}: lacks {lacking[0]}; it is no {kind}: give {part.repo}, or its like, as {name}")
    return Encoder(model.eval().requires_grad_(False).to(device()), processor, output)


def device() -> str:
    """The GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
