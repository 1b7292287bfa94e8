"""Tiny random twins of the networks that metrics look through, on disk in their published layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model

from relation_adapter.evaluate.inception import Inception
from relation_adapter.model import twin_files, twins
from relation_adapter.model.components import randomise

CLIP_SEES = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
DINO_SEES = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP_SIDE, DINO_SIDE = 32, 28
# From the names of today's classes to those that transformers 4 wrote.
DINO_NAMES = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}


def write_clip(folder: Path) -> Path:
    """As openai/clip-vit-large-patch14: the whole model, of which metrics read the half that sees."""
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 60, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    vision = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": CLIP_SIDE, "patch_size": 8, "projection_dim": 12, "hidden_act": "quick_gelu"}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    config = {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 12}
    config |= {
        "text_config": text | {"model_type": "clip_text_model"},
        "vision_config": vision | {"model_type": "clip_vision_model"},
    }
    processor = {"crop_size": CLIP_SIDE, "size": CLIP_SIDE, "resample": 3, **CLIP_SEES}
    processor |= {"do_center_crop": True, "do_normalize": True, "do_resize": True}
    processor["feature_extractor_type"] = "CLIPFeatureExtractor"
    return _write(folder, config, processor, _random(model))


def write_dino(folder: Path) -> Path:
    """As facebook/dinov2-base."""
    config = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    model = Dinov2Model(Dinov2Config(**config))
    processor: dict[str, Any] = {"crop_size": {"height": DINO_SIDE, "width": DINO_SIDE}, **DINO_SEES, "resample": 3}
    processor |= {"do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True}
    processor |= {"do_resize": True, "image_processor_type": "BitImageProcessor", "rescale_factor": 1 / 255}
    processor["size"] = {"shortest_edge": 32}
    tensors = _random(model)
    for ours, theirs in DINO_NAMES.items():
        tensors = {key.replace(ours, theirs): value for key, value in tensors.items()}
    return _write(folder, config | {"architectures": ["Dinov2Model"], "model_type": "dinov2"}, processor, tensors)


def write_siglip(folder: Path) -> Path:
    """As google/siglip-so400m-patch14-384."""
    encoder = twins.encoders(twin_files.TINY)["image_encoder"]
    randomise(encoder, torch.Generator().manual_seed(0))
    twins._write_image_encoder(folder, encoder)
    return folder


def alexnet() -> nn.Sequential:
    """The features of torchvision's AlexNet."""
    layers: list[nn.Module] = []
    for inside, outside, kernel, stride, padding, pooled in (
        (3, 64, 11, 4, 2, True),
        (64, 192, 5, 1, 2, True),
        (192, 384, 3, 1, 1, False),
        (384, 256, 3, 1, 1, False),
        (256, 256, 3, 1, 1, True),
    ):
        layers += [nn.Conv2d(inside, outside, kernel, stride, padding), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2)] * pooled
    return nn.Sequential(*layers)


def write_alexnet(path: Path) -> nn.Sequential:
    """As alexnet-owt-7be5be79.pth."""
    torch.manual_seed(0)
    features = alexnet()
    tensors = {f"features.{key}": value for key, value in features.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors | {"classifier.6.bias": torch.zeros(1000)}, path)
    return features


def write_inception(path: Path) -> None:
    """As pt_inception-2015-12-05-6726825d.pth; weights drawn by numpy, so that they are the same everywhere."""
    rng = np.random.default_rng(0)
    tensors = {}
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in Inception().state_dict().items()}
    for key, shape in shapes.items():
        if key.endswith("conv.weight"):
            values = rng.standard_normal(shape, dtype=np.float32) * (2 / np.prod(shape[1:])) ** 0.5
        elif key.endswith(("running_var", "bn.weight")):
            values = rng.uniform(0.8, 1.2, shape)
        else:
            values = rng.normal(0, 0.1, shape)
        if not key.endswith("num_batches_tracked"):
            tensors[key] = torch.from_numpy(np.asarray(values, dtype=np.float32))
    tensors |= {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, path)


def _random(model: nn.Module) -> dict[str, Tensor]:
    randomise(model, torch.Generator().manual_seed(0))
    return model.state_dict()


def _write(folder: Path, config: dict[str, Any], processor: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors")
    return folder
