"""What a saved pipeline says of itself: the model card that the hub shows."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import ModelCard

from relation_adapter.config import ModelConfig

NAME = "README.md"
TAGS = ("relation-adapter", "image-editing", "image-to-image")
_GENERATED = "has been automatically generated"  # diffusers' own card, which says nothing

_TEXT = """---
library_name: diffusers
pipeline_tag: image-to-image
---

# {name}

Edits pictures by example: shown one picture before and after an edit, it makes the same edit on others.
The method is RelationAdapter ([arXiv 2506.02528](https://arxiv.org/abs/2506.02528)); the design is `{name}`, {base}.

```python
from relation_adapter import RelationPipeline

pipe = RelationPipeline.from_pretrained("path/to/this/folder")
relation = pipe.encode_relation([(before, after)])
picture = pipe(image=source, relation=relation, seed=0).images[0]
```
"""


def write_card(folder: str | os.PathLike[str], design: ModelConfig) -> None:
    """Give a saved pipeline's folder its card; of one that somebody wrote only the tags are completed."""
    path = Path(folder) / NAME
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not text or _GENERATED in text:
        base = f"trained on [{design.base}](https://hf.co/{design.base})" if design.base else "trained from scratch"
        text = _TEXT.format(name=design.name, base=base)
    card = ModelCard(text)
    if design.base and not card.data.get("base_model"):
        card.data["base_model"] = design.base
    card.data["tags"] = list(dict.fromkeys([*(card.data.get("tags") or []), *TAGS]))
    path.write_text(str(card), encoding="utf-8")
