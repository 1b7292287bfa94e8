"""The command `relation-adapter`. Its modules load torch only once a command needs a model."""

from relation_adapter.cli.app import main

__all__ = ["main"]
