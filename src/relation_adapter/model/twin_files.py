"""What the twins' folders hold beside weights: the configs as published, and tokenizers with a tiny vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# As in black-forest-labs/FLUX.1-dev. What a config does not name is left to the classes' defaults, here as there.
MODEL_INDEX = {
    "_class_name": "FluxPipeline",
    "_diffusers_version": "0.30.0.dev0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.30.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}
TRANSFORMER = {
    "_class_name": "FluxTransformer2DModel",
    "_diffusers_version": "0.30.0.dev0",
    "_name_or_path": "../checkpoints/flux-dev/transformer",
    "attention_head_dim": 128,
    "guidance_embeds": True,
    "in_channels": 64,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 19,
    "num_single_layers": 38,
    "patch_size": 1,
    "pooled_projection_dim": 768,
}
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.30.0.dev0",
    "_name_or_path": "../checkpoints/flux-dev",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 16,
    "latents_mean": None,
    "latents_std": None,
    "layers_per_block": 2,
    "mid_block_add_attention": True,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 1024,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
CLIP: dict[str, Any] = {
    "_name_or_path": "openai/clip-vit-large-patch14",
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,  # not the tokenizer's: transformers then takes the largest id's place as the end
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "projection_dim": 768,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.3",
    "vocab_size": 49408,
}
T5: dict[str, Any] = {
    "_name_or_path": "google/t5-v1_1-xxl",
    "architectures": ["T5EncoderModel"],
    "classifier_dropout": 0.0,
    "d_ff": 10240,
    "d_kv": 64,
    "d_model": 4096,
    "decoder_start_token_id": 0,
    "dense_act_fn": "gelu_new",
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "is_gated_act": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "num_decoder_layers": 24,
    "num_heads": 64,
    "num_layers": 24,
    "output_past": True,
    "pad_token_id": 0,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.3",
    "use_cache": True,
    "vocab_size": 32128,
}
# As in google/siglip-so400m-patch14-384.
SIGLIP: dict[str, Any] = {
    "architectures": ["SiglipModel"],
    "initializer_factor": 1.0,
    "model_type": "siglip",
    "text_config": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "model_type": "siglip_text_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
    },
    "torch_dtype": "float32",
    "transformers_version": "4.37.0.dev0",
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 384,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    },
}
SIGLIP_PROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "SiglipProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 384, "width": 384},
}

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MERGES = ("t h", "th e</w>", "i n", "a d")
_CLIP_START, _CLIP_END = "<|startoftext|>", "<|endoftext|>"
# The ends come last, as published: their ids are the largest.
_CLIP_WORDS = [
    *_LETTERS,
    *(f"{letter}</w>" for letter in _LETTERS),
    *(merge.replace(" ", "") for merge in _MERGES),
    _CLIP_START,
    _CLIP_END,
]
_T5_SPECIAL = ["<pad>", "</s>", "<unk>"]
_T5_EXTRA = [f"<extra_id_{number}>" for number in range(3)]
_T5_PIECES = [(piece, -float(number)) for number, piece in enumerate([*_T5_SPECIAL, "▁", "▁the", "ing", *_LETTERS])]

# The sizes of the twins.
TINY: dict[str, dict[str, Any]] = {
    "vae": {"block_out_channels": [4, 4, 8, 8], "layers_per_block": 1, "norm_num_groups": 2, "sample_size": 64},
    "text_encoder": {
        "hidden_size": 20,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "projection_dim": 20,
        "vocab_size": len(_CLIP_WORDS),
    },
    "text_encoder_2": {
        "d_ff": 32,
        "d_kv": 8,
        "d_model": 24,
        "num_decoder_layers": 1,
        "num_heads": 2,
        "num_layers": 1,
        "vocab_size": len(_T5_PIECES) + len(_T5_EXTRA) + 2,  # some ids that no word has, as published
    },
    "vision": {
        "hidden_size": 24,
        "image_size": 28,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
    },
    "text": {"intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": len(_T5_PIECES)},
}


def write_clip_tokenizer(folder: Path) -> None:
    """vocab.json, merges.txt and their configs: byte pairs, no tokenizer.json, as published."""
    ends = {"content": _CLIP_END, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    start = ends | {"content": _CLIP_START}
    vocabulary = {word: number for number, word in enumerate(_CLIP_WORDS)}
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(vocabulary[one["content"]]): one | {"special": True} for one in (start, ends | {"normalized": False})
        },
        "bos_token": _CLIP_START,
        "clean_up_tokenization_spaces": True,
        "do_lower_case": True,
        "eos_token": _CLIP_END,
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": _CLIP_END,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": _CLIP_END,
    }
    names = {"bos_token": start, "eos_token": ends, "pad_token": _CLIP_END, "unk_token": ends}
    _write_jsons(folder, {"vocab": vocabulary, "tokenizer_config": config, "special_tokens_map": names})
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(_MERGES) + "\n")


def write_t5_tokenizer(folder: Path, kind: str = "T5Tokenizer") -> None:
    """spiece.model, tokenizer.json and their configs: a unigram model, the same in both forms."""
    from transformers import T5TokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    pieces = [*_T5_PIECES, *((extra, 0.0) for extra in reversed(_T5_EXTRA))]
    T5TokenizerFast(vocab=pieces, extra_ids=len(_T5_EXTRA)).save_pretrained(folder)
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    config = {
        "added_tokens_decoder": {str(number): {"content": name} | plain for number, name in enumerate(_T5_SPECIAL)},
        "additional_special_tokens": _T5_EXTRA,
        "clean_up_tokenization_spaces": True,
        "eos_token": "</s>",
        "extra_ids": len(_T5_EXTRA),
        "legacy": True,
        "model_max_length": 512,
        "pad_token": "<pad>",
        "sp_model_kwargs": {},
        "tokenizer_class": kind,
        "unk_token": "<unk>",
    }
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "additional_special_tokens": _T5_EXTRA}
    _write_jsons(folder, {"tokenizer_config": config, "special_tokens_map": names})
    (folder / "spiece.model").write_bytes(b"".join(_piece(*piece) for piece in _T5_PIECES))


def _piece(text: str, score: float) -> bytes:
    """One `pieces` entry of sentencepiece's ModelProto: text (1), score (2), type (3), in protobuf's wire form."""
    import struct

    kinds = {"<unk>": 2, "<pad>": 3, "</s>": 3}
    data = text.encode()
    body = bytes([0x0A, len(data)]) + data + b"\x15" + struct.pack("<f", score) + bytes([0x18, kinds.get(text, 1)])
    return bytes([0x0A, len(body)]) + body


def _write_jsons(folder: Path, files: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
