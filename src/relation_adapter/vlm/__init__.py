"""A vision-language model asked about pictures: a prompt from a file, a reply of a known shape, every answer kept.

`Vlm` asks over an OpenAI-compatible server or replays a journal. It knows no pairs and no tasks.
"""

from relation_adapter.vlm.asking import Limits, Outcome, Question, Vlm
from relation_adapter.vlm.journal import Journal, open_journal
from relation_adapter.vlm.prompts import Prompt, load_prompt
from relation_adapter.vlm.schema import object_schema
from relation_adapter.vlm.server import Server, ServerOptions
from relation_adapter.vlm.spending import Budget, Price, Spent

__all__ = [
    "Budget",
    "Journal",
    "Limits",
    "Outcome",
    "Price",
    "Prompt",
    "Question",
    "Server",
    "ServerOptions",
    "Spent",
    "Vlm",
    "load_prompt",
    "object_schema",
    "open_journal",
]
