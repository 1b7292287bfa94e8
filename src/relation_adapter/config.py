"""Every choice as a frozen dataclass: named presets, `key=value` overrides, JSON in and out.

`ModelConfig` spans the published method and ours; DESIGN's table "The model" lists the choices row by row.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from relation_adapter.errors import UsageError

Config = TypeVar("Config")
Preparation = Literal["published", "square"]  # of exemplars
Shift = Literal["noisy_and_source", "noisy", "none"]  # what the time shift counts
VAE_FACTOR = 8  # pixels by side of a latent of FLUX's VAE
PIXEL_UNIT = 12  # weights of one unit of a net for pixels: nine numbers in, three colours out


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the stock `FluxTransformer2DModel`; the defaults are FLUX.1-dev."""

    in_channels: int = 64
    out_channels: int = 64
    num_layers: int = 19
    num_single_layers: int = 38
    attention_head_dim: int = 128
    num_attention_heads: int = 24
    joint_attention_dim: int = 4096
    pooled_projection_dim: int = 768
    guidance_embeds: bool = True
    axes_dims_rope: tuple[int, ...] = (16, 56, 56)

    def __post_init__(self) -> None:
        if min(self.num_layers, self.num_single_layers, self.num_attention_heads, *self.axes_dims_rope) < 1:
            raise UsageError("transformer: num_layers, num_single_layers, heads and rotary axes must be at least 1.")
        if len(self.axes_dims_rope) != 3 or sum(self.axes_dims_rope) != self.attention_head_dim:
            raise UsageError(
                f"transformer.axes_dims_rope={list(self.axes_dims_rope)}: give three numbers that sum up to "
                f"attention_head_dim={self.attention_head_dim}."
            )

    @property
    def inner_dim(self) -> int:
        return self.attention_head_dim * self.num_attention_heads

    @property
    def num_blocks(self) -> int:
        return self.num_layers + self.num_single_layers


@dataclass(frozen=True)
class ModelConfig:
    """What reads the relation, how the source is seen, where the flow starts.

    The defaults are the published method (arXiv 2506.02528 and its released code).
    """

    name: str = "published"
    base: str | None = "black-forest-labs/FLUX.1-dev"  # the pretrained model it is trained on; null: from scratch
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    pixel_factor: int = 0  # side of the pixel block that is a latent, of a PixelCodec in the VAE's place; 0: a VAE
    pixel_hidden: int = 0  # units of the net that every token writes for its own pixels; 0: none

    # The relation: features of the pair -> tokens -> keys and values of every block, in a branch of its own (adapter);
    # or the pair's latents as tokens beside the source's, without any projector (in_context, the paper's ablation).
    relation_branch: Literal["adapter", "in_context"] = "adapter"
    image_features: Literal["siglip_pooled", "siglip_patches", "latents", "latents_pooled"] = "siglip_pooled"
    feature_dim: int = 1152
    projector: Literal["pooled_mlp", "resampler", "none"] = "pooled_mlp"
    roles: bool = False  # learned embeddings that tell before from after
    num_tokens: int = 128  # pooled_mlp: per picture; resampler: in all, 0 = one per patch of every pair
    token_dim: int = 4096
    resampler_layers: int = 3
    resampler_heads: int = 8
    relation_vector: bool = False  # the relation also modulates every block, beside the time
    second_look: bool = False  # a pair is read again, with what the model made of its before by the first reading
    exemplar_preparation: Preparation = "published"
    exemplar_size: int = 384  # px, side of the square the image encoder sees

    # The source: tokens beside the noisy ones, positions cloned.
    source_attention: Literal["joint", "isolated"] = "joint"
    source_time: Literal["shared", "clean"] = "shared"
    source_latents: Literal["sample", "mode"] = "sample"
    position_features: int = 0  # frequencies per axis appended to the latent channels

    # The flow: t = 1 is the start, t = 0 the picture.
    start: Literal["noise", "source"] = "noise"
    shift_tokens: Shift = "noisy_and_source"
    correction: bool = False  # a relation also tells what the model gets wrong on its own pair: one more pass a pair

    # Text and pictures.
    text: Literal["instruction", "optional", "none"] = "instruction"  # optional, none: a learned null stands in
    text_length: int = 512  # tokens, of an instruction and of the null
    native_area: int = 512 * 512  # px of the pictures the model was trained on
    keep_size: bool = True  # the source's own size unless told otherwise (the published behaviour)

    # Defaults of an edit.
    steps: int = 24
    guidance: float = 3.5

    def __post_init__(self) -> None:
        if self.source_attention == "joint" and self.source_time == "clean":
            raise UsageError("source_time=clean needs source_attention=isolated: a joint pass has one time for all.")
        if self.correction and self.start != "source":
            raise UsageError("correction=true needs start=source, where one step is an edit; set correction=false.")
        if self.second_look and (self.start, self.image_features, self.projector) != ("source", "latents", "resampler"):
            raise UsageError("second_look=true needs start=source, image_features=latents and projector=resampler.")
        pooled = self.image_features in ("siglip_pooled", "latents_pooled")
        if self.projector == "pooled_mlp" and not pooled:
            raise UsageError(f"projector=pooled_mlp reads pooled features, not image_features={self.image_features}.")
        if self.projector == "resampler" and pooled:
            raise UsageError("projector=resampler reads patches; set image_features=siglip_patches or latents.")
        if self.projector == "resampler" and not self.roles:
            raise UsageError("projector=resampler always tells before from after; leave roles=true.")
        if self.image_features == "latents_pooled" and not self.pixel_factor:
            raise UsageError("image_features=latents_pooled shrinks pixels; set pixel_factor, or read siglip_pooled.")
        self._check_branch()
        self._check_sizes()

    def _check_branch(self) -> None:
        """Refuse what in-context tokens cannot do."""
        if self.relation_branch == "adapter":
            if self.projector == "none":
                raise UsageError("projector=none belongs to relation_branch=in_context; the adapter needs one.")
            return
        needed = {"projector": "none", "image_features": "latents", "source_attention": "joint"}
        for name, value in (needed | {"relation_vector": False}).items():
            if getattr(self, name) != value:
                raise UsageError(
                    f"relation_branch=in_context needs {name}={json.dumps(value).strip(chr(34))}, not "
                    f"{getattr(self, name)}: the pair's latents are tokens beside the source's."
                )
        if self.token_dim != self.feature_dim:
            raise UsageError(f"token_dim={self.token_dim}: tokens in context are the {self.feature_dim} features.")

    def _check_sizes(self) -> None:
        """Refuse sizes that depend on each other and do not fit."""
        channels = self.token_channels + 4 * self.position_features
        if self.pixel_hidden and not self.pixel_factor:
            raise UsageError(f"pixel_hidden={self.pixel_hidden}: needs pixels as latents; set pixel_factor.")
        if self.pixel_factor and self.token_channels != 12 * self.pixel_factor**2:
            raise UsageError(
                f"transformer.out_channels={self.transformer.out_channels}: pixel_factor={self.pixel_factor} and "
                f"pixel_hidden={self.pixel_hidden} make {12 * (self.pixel_factor**2 + self.pixel_hidden)}."
            )
        if self.transformer.in_channels != channels:
            raise UsageError(
                f"transformer.in_channels={self.transformer.in_channels}: out_channels without the nets for pixels and "
                f"4 * position_features make {channels}."
            )
        features = {"latents": channels, "latents_pooled": 2 * channels}.get(self.image_features, self.feature_dim)
        if self.feature_dim != features:
            raise UsageError(f"feature_dim={self.feature_dim}: {self.image_features} have {features} channels.")
        if self.image_features.startswith("latents") and (self.exemplar_size < 1 or self.exemplar_size % self.patch):
            raise UsageError(f"exemplar_size={self.exemplar_size}: is not a multiple of a token's {self.patch} pixels.")
        if self.projector == "resampler" and (self.resampler_heads < 1 or self.token_dim % self.resampler_heads):
            raise UsageError(f"token_dim={self.token_dim}: is no multiple of resampler_heads={self.resampler_heads}.")

    @property
    def token_channels(self) -> int:
        """Channels of a packed latent; the transformer puts out more where tokens write nets for their pixels."""
        return self.transformer.out_channels - PIXEL_UNIT * self.pixel_hidden

    @property
    def patch(self) -> int:
        """Side of the pixels that are one token, px; a VAE is taken to be one of FLUX's."""
        return 2 * (self.pixel_factor or VAE_FACTOR)

    @property
    def reuses_source(self) -> bool:
        """Whether the source's keys and values are the same at every step."""
        return self.source_attention == "isolated" and self.source_time == "clean"

    @property
    def ignores_seed(self) -> bool:
        """Whether every seed makes the same: neither the source nor the start is drawn."""
        return self.start == "source" and self.source_latents == "mode"

    @property
    def has_null_text(self) -> bool:
        """Whether the adapter holds a learned stand-in for absent text."""
        return self.text != "instruction"


_MINI_TRANSFORMER = TransformerConfig(
    in_channels=192 + 16,
    out_channels=192 + PIXEL_UNIT * 16,
    num_layers=1,
    num_single_layers=4,
    attention_head_dim=32,
    num_attention_heads=8,
    joint_attention_dim=64,
    pooled_projection_dim=256,
    guidance_embeds=False,
    axes_dims_rope=(16, 8, 8),
)

_DIRECTED = ModelConfig(
    name="directed",
    image_features="siglip_patches",
    projector="resampler",
    roles=True,
    resampler_layers=4,
    resampler_heads=16,
    source_attention="isolated",
    source_time="clean",
    source_latents="mode",
    shift_tokens="noisy",
    text="optional",
    text_length=128,
    keep_size=False,
)

_MINI = dataclasses.replace(
    _DIRECTED,
    name="mini",
    base=None,
    transformer=_MINI_TRANSFORMER,
    pixel_factor=4,
    pixel_hidden=16,
    image_features="latents",
    feature_dim=192 + 16,
    num_tokens=0,
    token_dim=256,
    resampler_layers=2,
    resampler_heads=8,
    relation_vector=True,
    exemplar_preparation="square",
    exemplar_size=128,
    position_features=4,
    start="source",
    shift_tokens="none",
    second_look=True,
    correction=True,
    text="none",
    text_length=1,
    native_area=128 * 128,
    steps=1,
    guidance=1.0,
)

# The paper's ablation: no adapter, so neither SigLIP nor a projector.
_IN_CONTEXT = ModelConfig(
    name="in_context",
    relation_branch="in_context",
    image_features="latents",
    feature_dim=64,
    projector="none",
    token_dim=64,
    exemplar_preparation="square",
    exemplar_size=512,
)

MODELS: dict[str, ModelConfig] = {
    "published": ModelConfig(),
    "in_context": _IN_CONTEXT,
    "directed": _DIRECTED,
    "mini": _MINI,
}


def preset(presets: dict[str, Config], name: str) -> Config:
    """Look a preset up by name. Raises UsageError with the nearest names where there is none."""
    if name in presets:
        return presets[name]
    near = difflib.get_close_matches(name, presets, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"No preset is called {name!r}.{hint} There are: {', '.join(presets)}.")


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values."""
    return typing.cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(config))))


def from_dict(cls: type[Config], values: dict[str, Any], where: str = "config") -> Config:
    """Build a config from JSON values; every key and type is checked.

    Raises:
        UsageError: an unknown key or a value of the wrong type, named with `where`.
    """
    hints = typing.get_type_hints(cls)
    unknown = [key for key in values if key not in hints]
    if unknown:
        near = difflib.get_close_matches(unknown[0], hints, n=1)
        hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(hints)}."
        raise UsageError(f"{where}: unknown key {unknown[0]!r}.{hint}")
    return cls(**{key: _checked(hints[key], value, f"{where}.{key}") for key, value in values.items()})


def override(config: Config, assignments: list[str]) -> Config:
    """Apply `key=value` strings, nested keys with dots (`transformer.num_layers=2`).

    Raises:
        UsageError: not of the form key=value, an unknown key, or a value that does not fit.
    """
    values = to_dict(config)
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign:
            raise UsageError(f"--set {assignment}: write it as key=value.")
        *parents, last = key.strip().split(".")
        target = values
        for parent in parents:
            if not isinstance(target.get(parent), dict):
                raise UsageError(f"--set {assignment}: {parent!r} has no fields.")
            target = target[parent]
        target[last] = _parse(text)
    return from_dict(type(config), values, "--set")


def _parse(text: str) -> Any:
    """Read a flag's text as JSON where it is JSON, else as a plain word."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _checked(hint: Any, value: Any, where: str) -> Any:
    """Check one value against a type hint; nested configs are built."""
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(typing.cast("type[Any]", hint), value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        return None if value is None else _checked(inner[0], value, where)
    if origin is Literal:
        if value not in args:
            raise UsageError(f"{where}={value!r}: choose one of {', '.join(map(str, args))}.")
        return value
    if origin is dict and isinstance(value, dict):
        return {key: _checked(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is tuple and isinstance(value, str):
        value = [item.strip() for item in value.split(",")]
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_checked(args[0], item, where) for item in value)
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise UsageError(f"{where}={value!r}: expected {getattr(hint, '__name__', hint)}.")
