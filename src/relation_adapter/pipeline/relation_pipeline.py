"""`RelationPipeline`: the edit that one or more pairs show, made on any pictures; a diffusers pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from torch import Tensor
from transformers import (
    BaseImageProcessor,
    CLIPTextModel,
    CLIPTokenizer,
    SiglipVisionModel,
    T5EncoderModel,
    T5TokenizerFast,
)

from relation_adapter.config import ModelConfig
from relation_adapter.editor import Pair
from relation_adapter.errors import UsageError
from relation_adapter.images import Size
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.attention import RelationAttnProcessor
from relation_adapter.model.codec import PixelCodec
from relation_adapter.model.components import Components
from relation_adapter.model.second_look import read_pairs
from relation_adapter.pipeline import flux_dev, request
from relation_adapter.pipeline.agreement import Agreement, mean_change
from relation_adapter.pipeline.call_state import CallState
from relation_adapter.pipeline.corrections import correct
from relation_adapter.pipeline.detail_kept import pairs_detail
from relation_adapter.pipeline.encoders import aligned_pairs, encode_texts, given_embeds, pair_features
from relation_adapter.pipeline.fast import Fast
from relation_adapter.pipeline.flow_loop import RelationStore, Run, edited_tokens, wanted_tensors
from relation_adapter.pipeline.load import load_file, load_folder, model_path
from relation_adapter.pipeline.loras import Loras
from relation_adapter.pipeline.memory import OffloadMixin
from relation_adapter.pipeline.request import Strength
from relation_adapter.pipeline.results import add_relations, asked_results, output
from relation_adapter.pipeline.saving import SavingPipeline
from relation_adapter.relation import Relation, check_fits, fingerprint, new_provenance


class RelationPipeline(CallState, OffloadMixin, SavingPipeline, Loras, Agreement, Fast):
    """Edits pictures by example: `pipe(image=source, relation=pipe.encode_relation([(before, after)])).images[0]`.

    transformer, adapter, vae and scheduler are always there; the text encoders (CLIP, then T5) and the image encoder
    (SigLIP) only where the design, `adapter.design`, has them. The adapter is attached to the transformer.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->image_encoder->adapter->transformer->vae"
    _optional_components: ClassVar[list[str]] = [
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
        "image_encoder",
        "image_processor",
    ]
    # Sequential offload would empty weights that are read without a forward: the null text's and the fingerprint's,
    # and the output projection of SigLIP's head.
    _exclude_from_cpu_offload: ClassVar[list[str]] = ["adapter", "image_encoder"]
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents", "prompt_embeds", "pooled_prompt_embeds"]

    def __init__(
        self,
        transformer: FluxTransformer2DModel,
        adapter: RelationAdapter,
        vae: AutoencoderKL | PixelCodec,
        scheduler: FlowMatchEulerDiscreteScheduler,
        text_encoder: CLIPTextModel | None = None,
        tokenizer: CLIPTokenizer | None = None,
        text_encoder_2: T5EncoderModel | None = None,
        tokenizer_2: T5TokenizerFast | None = None,
        image_encoder: SiglipVisionModel | None = None,
        image_processor: BaseImageProcessor | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer,
            adapter=adapter,
            vae=vae,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            image_encoder=image_encoder,
            image_processor=image_processor,
        )
        if adapter and transformer and not _is_attached(transformer):
            adapter.attach(transformer)

    @classmethod
    def from_components(cls, components: Components) -> RelationPipeline:
        """A pipeline of parts that are in memory already."""
        return cls(**vars(components))

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str], **options: Any) -> RelationPipeline:
        """Load a model: "mini", which ships with this package; "flux-dev", the published one; a folder of
        `save_pretrained` or of a training run; or one of our files.

        options: as for any diffusers pipeline, for a folder; of "flux-dev" those of `flux_dev.from_options`;
        `torch_dtype` alone for the others.

        Raises:
            UsageError: no such model, or an option that does not apply to it.
            WeightsError: a file or folder that cannot be used.
        """
        if (dtype := options.pop("dtype", None)) is not None:  # the newer of diffusers' two names
            options["torch_dtype"] = dtype
        if model == flux_dev.NAME:
            pipe: RelationPipeline = flux_dev.from_options(cls.from_components, options)
            return pipe
        path = model_path(model, cls.config_name)
        if path.is_dir():
            return load_folder(path, cls.config_name, super().from_pretrained, options)
        return cls.from_components(load_file(path, options))

    @property
    def design(self) -> ModelConfig:
        """The choices of the model: `ModelConfig`."""
        if self.adapter is None:
            raise UsageError("This pipeline has no adapter; load it with one")
        design: ModelConfig = self.adapter.design
        return design

    @property
    def multiple(self) -> int:
        """The model works at sizes in whole multiples of this, px: two latents."""
        config = self.vae.config
        return 2 * (config.factor if self.design.pixel_factor else 2 ** (len(config.block_out_channels) - 1))

    def check_relation(self, relation: Relation) -> None:
        """Raise WeightsError unless this model, with these weights, encoded the relation."""
        check_fits(relation, self.design, fingerprint(self.design, self.adapter.projector))

    @torch.no_grad()
    def encode_relation(
        self, pairs: Sequence[Pair], name: str | None = None, preparation: str | None = None
    ) -> Relation:
        """Read what the (before, after) pairs show, all of one edit; nothing about it is random.

        pairs: PIL pictures, arrays (H, W, 3) or tensors (3, H, W), as for `image` of the call. name: kept in the
        relation's provenance. preparation: `published`, padded on white to the nearest of five ratios, or `square`,
        squeezed to the square that the image encoder sees; default: as in the training of the design.

        Raises UsageError, or PictureError on a picture that is none.
        """
        checked = request.as_pairs(pairs)
        request.check_preparation(preparation)
        try:
            return self._encode_relation(checked, name, preparation)
        finally:
            self.maybe_free_model_hooks()

    def _encode_relation(
        self, pairs: Sequence[Pair], name: str | None = None, preparation: str | None = None
    ) -> Relation:
        given, (pairs, shifts) = pairs, aligned_pairs(self.design, pairs)
        before, after = pair_features(self, pairs, self._execution_device, preparation)
        tokens, vector = read_pairs(self.transformer, self.adapter, before, after)
        mark = fingerprint(self.design, self.adapter.projector)
        provenance = new_provenance(self.design, mark, given, name)
        if any(map(any, shifts)):
            provenance["shifts"] = [list(shift) for shift in shifts]
        if preparation is not None:
            provenance["preparation"] = preparation
        if detail := pairs_detail(pairs, self.design.native_area, self.design.patch):
            provenance["detail"] = detail
        return self._corrected(Relation(tokens, vector, provenance, mean_change(before, after)), pairs)

    def _corrected(self, relation: Relation, pairs: Sequence[Pair]) -> Relation:
        """With what the model gets wrong on the pairs, where its design asks for that."""
        return correct(self, relation, pairs) if self.design.correction else relation

    @torch.no_grad()
    def encode_prompt(
        self,
        instruction: str | Sequence[str | None] | None = None,
        max_sequence_length: int | None = None,
        lora_scale: float | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Instructions as `prompt_embeds` (N, T, J) and `pooled_prompt_embeds` (N, P) for later calls.

        It needs text encoders and tokenizers alone. max_sequence_length: T. lora_scale: of LoRAs on the text encoders.
        Without an instruction and without an adapter both are None, as a call understands them. Raises UsageError.
        """
        count = len(instruction) if isinstance(instruction, (list, tuple)) else 1
        texts = request.as_instructions(instruction, count)
        if self.adapter is None and not any(texts):
            prompt_embeds, pooled_prompt_embeds = None, None
        else:
            device = self._execution_device
            try:
                prompt_embeds, pooled_prompt_embeds = encode_texts(self, texts, device, max_sequence_length, lora_scale)
            finally:
                self.maybe_free_model_hooks()
        return prompt_embeds, pooled_prompt_embeds

    @torch.no_grad()
    def __call__(
        self,
        image: Any = None,
        relation: Any = None,
        pairs: Any = None,
        instruction: str | Sequence[str | None] | None = None,
        strength: Strength = 1.0,
        strength_steps: tuple[float, float] = (0.0, 1.0),
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | Sequence[int] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        num_images_per_prompt: int = 1,
        latents: Tensor | Sequence[Tensor] | None = None,
        prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        max_sequence_length: int | None = None,
        size: Size | str | None = None,
        height: int | None = None,
        width: int | None = None,
        detail: bool | None = None,
        shift_tokens: str | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: Mapping[str, Any] | None = None,
        callback_on_step_end: Callable[[Any, int, Tensor, dict[str, Any]], dict[str, Any] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Make the edit on every picture; returns `.images`, `num_images_per_prompt` for each picture in turn.

        image: sources of any size: PIL, array (H, W, 3) or tensor (3, H, W), uint8 or floats in [0, 1], a batch or a
        list. relation: a Relation or (Relation, strength), a list of these to combine, or one such list an image.
        pairs: in its place (before, after) pictures, one or more, or one list an image. instruction: text, for all or
        one an image; a design without text passes over it. strength: of all relations, a number or one per block; 0 is
        the base. strength_steps: the part of the steps, in [0, 1], where relations act. seed: result k takes seed + k,
        or a list. generator: one for the results in turn, or a list. latents: where the flow starts, (results, L, C) or
        a list. prompt_embeds (N or 1, T, J), pooled_prompt_embeds (N or 1, P): from `encode_prompt`.
        max_sequence_length: T. size: (width, height) to work at and return, as height and width are; `own`, the
        picture's, or `native`, the area of training (default: the design's choice), brought back to the picture's size
        (that of one turned on its side, where an edit says exactly that),
        with `detail` as sharp as the picture (default: after `native`). shift_tokens: what the time shift counts,
        `noisy_and_source` as published, `noisy`, or `none`. output_type: pil; later, functions that make these; np, pt
        in [0, 1], on the CPU; latent, the noisy tokens (results, L, C). What differs in size comes as a list.
        joint_attention_kwargs: `scale` weighs LoRAs. callback_on_step_end(pipe, step, time, tensors): after every step,
        for every group of equal sizes and strengths in turn; it may return other tensors, new ones, or set
        `pipe._interrupt`.

        Raises UsageError on what does not fit together, PictureError on a picture that is none, WeightsError on a
        relation of another model; nothing has run by then.
        """
        run = Run(
            steps=self.design.steps if num_inference_steps is None else num_inference_steps,
            guidance=self.design.guidance if guidance_scale is None else guidance_scale,
            strength_steps=strength_steps,
            shift_tokens=request.shift_of(shift_tokens, self.design, self.scheduler),
            attention=joint_attention_kwargs or {},
            callback=callback_on_step_end,
            tensor_inputs=wanted_tensors(callback_on_step_end, callback_on_step_end_tensor_inputs),
        )
        length = self.design.text_length if max_sequence_length is None else max_sequence_length
        request.check_run(run, num_images_per_prompt, output_type, length, self._callback_tensor_inputs)
        self._begin(run)
        pictures, work = request.as_pictures(image), request.size_of_work(size, height, width, self.design)
        items = asked_results(self, pictures, seed, generator, num_images_per_prompt, latents, work)
        texts = request.as_instructions(instruction, len(pictures))
        embeds = given_embeds(self.design, prompt_embeds, pooled_prompt_embeds, instruction, len(pictures))
        try:
            add_relations(self, items, relation, pairs, strength, len(pictures))
            device, scale = self._execution_device, run.attention.get("scale")
            store = RelationStore(self.adapter, items, device)  # before the texts: the adapter need not come twice
            encoded = embeds or encode_texts(self, texts, device, length, scale)
            with self._foreseeing(run.steps):
                tokens = edited_tokens(self, items, store, encoded, run)
            own = isinstance(work, str)
            keep = own and (work == "native" if detail is None else detail)
            images = output(self, tokens, items, pictures if keep else None, own, output_type)
        finally:
            self._current_timestep = None
            self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)


def _is_attached(transformer: FluxTransformer2DModel) -> bool:
    return all(isinstance(one, RelationAttnProcessor) for one in transformer.attn_processors.values())
