"""`RelationPipeline`: the edit that one or more pairs show, made on any pictures; a diffusers pipeline."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from PIL import Image
from torch import Tensor

from relation_adapter.config import ModelConfig
from relation_adapter.editor import Pair
from relation_adapter.errors import UsageError
from relation_adapter.images import Size
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.attention import RelationAttnProcessor
from relation_adapter.model.components import Components
from relation_adapter.pipeline import flux_dev, request
from relation_adapter.pipeline.agreement import Agreement, mean_change
from relation_adapter.pipeline.encoders import encode_texts, given_embeds, pair_features
from relation_adapter.pipeline.flow_loop import edited_tokens
from relation_adapter.pipeline.load import load_file, load_folder, model_path
from relation_adapter.pipeline.loras import Loras
from relation_adapter.pipeline.memory import OffloadMixin
from relation_adapter.pipeline.pictures import decode, stacked, to_output
from relation_adapter.pipeline.request import Item, Strength
from relation_adapter.relation import Relation, check_fits, fingerprint, new_provenance


class RelationPipeline(OffloadMixin, DiffusionPipeline, Loras, Agreement):
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
    # Sequential offload would empty parameters that are read without a forward: the null text, the fingerprint's.
    _exclude_from_cpu_offload: ClassVar[list[str]] = ["adapter"]
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents"]

    def __init__(
        self,
        transformer: FluxTransformer2DModel,
        adapter: RelationAdapter,
        vae: Any,
        scheduler: FlowMatchEulerDiscreteScheduler,
        text_encoder: Any = None,
        tokenizer: Any = None,
        text_encoder_2: Any = None,
        tokenizer_2: Any = None,
        image_encoder: Any = None,
        image_processor: Any = None,
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
        if not all(isinstance(one, RelationAttnProcessor) for one in transformer.attn_processors.values()):
            adapter.attach(transformer)
        self._interrupt = False

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
        design: ModelConfig = self.adapter.design
        return design

    @property
    def multiple(self) -> int:
        """The model works at sizes in whole multiples of this, px: two latents."""
        config = self.vae.config
        return 2 * (config.factor if self.design.pixel_factor else 2 ** (len(config.block_out_channels) - 1))

    @property
    def interrupt(self) -> bool:
        """Set `pipe._interrupt = True` in a callback to stop after the step."""
        return self._interrupt

    def check_relation(self, relation: Relation) -> None:
        """Raise WeightsError unless this model, with these weights, encoded the relation."""
        check_fits(relation, self.design, fingerprint(self.design, self.adapter.projector))

    @torch.no_grad()
    def encode_relation(self, pairs: Sequence[Pair], name: str | None = None) -> Relation:
        """Read what the (before, after) pairs show, all of one edit; nothing about it is random.

        name: kept in the relation's provenance. Raises UsageError, or PictureError on a picture that is none.
        """
        checked = request.as_pairs(pairs)
        try:
            return self._encode_relation(checked, name)
        finally:
            self.maybe_free_model_hooks()

    def _encode_relation(self, pairs: Sequence[Pair], name: str | None = None) -> Relation:
        before, after = pair_features(self, pairs, self._execution_device)
        tokens, vector = self.adapter.encode(before, after)
        mark = fingerprint(self.design, self.adapter.projector)
        return Relation(tokens, vector, new_provenance(self.design, mark, pairs, name), mean_change(before, after))

    @torch.no_grad()
    def __call__(
        self,
        image: Image.Image | Sequence[Image.Image] | None = None,
        relation: Any = None,
        pairs: Any = None,
        instruction: str | Sequence[str | None] | None = None,
        strength: Strength = 1.0,
        strength_steps: tuple[float, float] = (0.0, 1.0),
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | Sequence[int] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        num_images_per_image: int = 1,
        latents: Tensor | Sequence[Tensor] | None = None,
        prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        size: Size | None = None,
        detail: bool | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Tensor, dict[str, Any]], dict[str, Any] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Make the edit on every picture; returns `.images`, `num_images_per_image` for each picture in turn.

        image: the sources, any sizes. relation: what to do, a Relation or (Relation, strength), or a list of these to
        combine, or a list of such lists, one an image. pairs: in its place (before, after) pictures, one or more, or a
        list of such lists. instruction: text, for all or one an image; a design without text passes over it. strength:
        of all relations, a number or one per block; 0 is the base model. strength_steps: the part of the steps, in
        [0, 1], in which the relations act. seed: result k takes seed + k, or a list; generator: one that serves the
        results in turn, or a list. latents: where the flow starts, (results, L, C), or a list of (L, C). prompt_embeds
        (N or 1, T, J), pooled_prompt_embeds (N or 1, P): encoded instructions. size: (width, height) to work at and to
        return; default: the model's own choice, the results then brought back to their picture's size, with `detail` as
        sharp as the picture allows (default: where the model does not work at the picture's size). output_type: pil;
        np and pt in [0, 1]; latent, the noisy tokens (results, L, C) alone. What differs in size comes as a list.
        callback_on_step_end(pipe, step, time, {"latents": ...}) runs after every step, for every group of equal sizes
        and strengths in turn, and may return other latents.

        Raises UsageError on what does not fit together, PictureError on a picture that is none, WeightsError on a
        relation of another model; nothing has run by then.
        """
        self._interrupt = False
        design = self.design
        steps = design.steps if num_inference_steps is None else num_inference_steps
        guidance = design.guidance if guidance_scale is None else guidance_scale
        inputs = callback_on_step_end_tensor_inputs
        request.check_options(steps, guidance, num_images_per_image, size, output_type, strength_steps, inputs)
        pictures = request.as_pictures(image)
        items = self._items(pictures, seed, generator, num_images_per_image, latents, size)
        texts = request.as_instructions(instruction, len(pictures))
        embeds = given_embeds(design, prompt_embeds, pooled_prompt_embeds, instruction, len(pictures))
        try:
            self._add_relations(items, relation, pairs, strength, len(pictures))
            encoded = embeds or encode_texts(self, texts, self._execution_device)
            tokens = edited_tokens(self, items, encoded, steps, float(guidance), strength_steps, callback_on_step_end)
            images: Any = stacked(tokens)
            if output_type != "latent":
                keep = size is None and (not design.keep_size if detail is None else detail)
                sources = [pictures[item.source] if keep else None for item in items]
                decoded = [decode(self, one, item.fit.image.height) for one, item in zip(tokens, items, strict=True)]
                images = to_output(decoded, [item.fit for item in items], sources, output_type)
        finally:
            self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _items(
        self, pictures: Sequence[Image.Image], seed: Any, generator: Any, copies: int, latents: Any, size: Size | None
    ) -> list[Item]:
        """The results to make, without their relations."""
        fits = [request.fit_source(picture, self.design, self.multiple, size) for picture in pictures]
        sources = [source for source in range(len(pictures)) for _ in range(copies)]
        channels = self.design.transformer.out_channels
        shapes = [(math.prod(side // self.multiple for side in fits[one].image.size), channels) for one in sources]
        generators = request.as_generators(seed, generator, len(sources))
        starts = request.as_latents(latents, shapes)
        return [
            Item(source, fits[source], generator=one, latents=start)
            for source, one, start in zip(sources, generators, starts, strict=True)
        ]

    def _add_relations(self, items: Sequence[Item], relation: Any, pairs: Any, strength: Strength, count: int) -> None:
        """Give every item the relations of its picture; pairs are encoded here."""
        if (relation is None) == (pairs is None):
            found = "missing; give one of them" if relation is None else "both given; give one of them"
            raise UsageError(f"relation and pairs are {found}")
        blocks = self.design.transformer.num_blocks
        request.as_strength(strength, blocks)
        if pairs is not None:
            encoded = [self._encode_relation(one) for one in request.pairs_per_image(pairs, count)]
            relation = encoded if len(encoded) == 1 else [[one] for one in encoded]
        per_image = request.relations_per_image(relation, strength, count, blocks)
        mark = fingerprint(self.design, self.adapter.projector)
        for one in {weighted.relation for weighted_list in per_image for weighted in weighted_list}:
            check_fits(one, self.design, mark)
        for item in items:
            item.relations = per_image[item.source]
