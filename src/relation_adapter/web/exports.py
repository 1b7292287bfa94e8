"""What a visitor takes along: all results of an edit as a zip, named after their sources, with how they were made."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import relation_adapter
from relation_adapter.web.visits import Entry


def result_names(entry: Entry) -> dict[int, str]:
    """A file name for every result: its source's, with a number where two are called the same."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for number in sorted(entry.results):
        stem = name = entry.order.sources[number].name
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.casefold())
        names[number] = f"{name}.png"
    return names


def settings_of(entry: Entry, model: str) -> dict[str, Any]:
    """How the results were made, as plain values."""
    order, names = entry.order, result_names(entry)
    return {
        "model": model,
        "package": relation_adapter.__version__,
        **order.settings.to_dict(),
        "pairs": [{"before": before.name, "after": after.name} for before, after in order.pairs],
        "relations": [{"name": saved.name, "strength": strength} for saved, strength in order.relations],
        "results": [
            {"source": source.name, "result": names.get(number), "error": entry.errors.get(number)}
            for number, source in enumerate(order.sources)
        ],
    }


def write_zip(entry: Entry, model: str, path: Path) -> None:
    """The results, `settings.json`, and the relations that made them."""
    relations = [] if entry.relation is None else [("relation.safetensors", entry.relation)]
    relations += [
        (f"relations/{index}-{saved.name}.safetensors", saved.path)
        for index, (saved, _) in enumerate(entry.order.relations, start=1)
    ]
    with zipfile.ZipFile(path, "w") as archive:  # stored: pictures are packed already
        for number, name in result_names(entry).items():
            archive.write(entry.results[number].path, name)
        for name, file in relations:
            archive.write(file, name)
        archive.writestr("settings.json", json.dumps(settings_of(entry, model), indent=2, ensure_ascii=False) + "\n")
