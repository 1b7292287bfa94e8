"""The diffusers pipeline of the method, and the same as an Editor."""

from relation_adapter.pipeline.editor import RelationEditor
from relation_adapter.pipeline.relation_pipeline import RelationPipeline

__all__ = ["RelationEditor", "RelationPipeline"]
