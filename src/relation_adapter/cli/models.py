"""`relation-adapter models`: what is at hand, what is in a model or a relation, a published adapter as safetensors."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from relation_adapter.baselines import EDITORS, Baseline
from relation_adapter.cli.outputs import check_file
from relation_adapter.cli.pipelines import FLUX, check_model
from relation_adapter.cli.say import result, say
from relation_adapter.config import MODELS, override, to_dict
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import SHIPPED, reason
from relation_adapter.header import read_header
from relation_adapter.hub import FLUX_DEV, Part, Places, check_sums, find

FLUX_PARAMETERS = 11_901_408_320 + 2_645_600_512 + 358_612_992  # base, adapter, LoRA
LICENCE = "Apache-2.0"  # of the weights inside the package, where they say nothing else
FEW = 8  # tensors, up to which each one's shape is shown
COLUMNS = ("name", "design", "parameters", "size", "licence", "file")


def list_models(options: Namespace) -> int:
    """The models and the baselines that `--model` takes, one a line."""
    rows = [_row(name, path) for name, path in SHIPPED.items() if path.exists()] + [_flux_row()]
    rows += [_baseline_row(name, baseline) for name, baseline in EDITORS.items()]
    if options.json:
        result(json.dumps(rows, indent=2))
        return 0
    shown = {"size": _size, "parameters": _short}
    table: list[tuple[str, ...]] = [COLUMNS]
    table += [tuple("-" if row[key] is None else shown.get(key, str)(row[key]) for key in COLUMNS) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        result("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    say("--model also takes the path of a weights file or of a saved pipeline's folder")
    return 0


def info(options: Namespace) -> int:
    """Everything a model or a relation says of itself."""
    if options.model == FLUX:
        return _flux_info(options)
    check_model(options)
    path = SHIPPED.get(options.model, Path(options.model))
    facts = _folder_facts(path) if path.is_dir() else _file_facts(path)
    if options.json:
        result(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print(facts)
    return 0


def _row(name: str, path: Path) -> dict[str, Any]:
    facts = _file_facts(path)
    return {
        "name": name,
        "design": facts.get("config", {}).get("name", "unknown"),
        "parameters": sum(facts["parameters"].values()),
        "size": facts["size"],
        "licence": facts.get("provenance", {}).get("licence", LICENCE),
        "file": str(path),
    }


def _flux_row() -> dict[str, Any]:
    """flux-dev, of which nothing is in the package; `file` says where its parts come from."""
    return {
        "name": FLUX,
        "design": "published",
        "parameters": FLUX_PARAMETERS,
        "size": sum(part.size for part in FLUX_DEV.values()),
        "licence": FLUX_DEV["base"].licence,
        "file": ", ".join(dict.fromkeys(part.repo for part in FLUX_DEV.values())),
    }


def _baseline_row(name: str, baseline: Baseline) -> dict[str, Any]:
    base = baseline.base
    return {
        "name": name,
        "design": "baseline",
        "parameters": None,
        "size": None if base is None else base.size,
        "licence": LICENCE if base is None else base.licence,
        "file": baseline.about if base is None else f"{baseline.about}: {base.repo}",
    }


def _flux_info(options: Namespace) -> int:
    """Where the parts of flux-dev come from."""
    facts = {"design": to_dict(MODELS["published"]), "parts": {name: _part(part) for name, part in FLUX_DEV.items()}}
    if options.json:
        result(json.dumps(facts, indent=2))
    else:
        _print(facts)
    return 0


def _part(part: Part) -> dict[str, Any]:
    return {
        "repo": part.repo,
        "revision": part.revision,
        "file": part.file or "a folder",
        "size": _size(part.size),
        "licence": part.licence + (", to be accepted on its page" if part.gated else ""),
        "looked for as": ", ".join(part.local),
    }


def fetch(options: Namespace) -> int:
    """Bring the parts of a model here, so that --offline finds them, and check them; their paths on stdout."""
    places = Places(folder=options.weights)
    for name, part in _parts(options.model).items():
        say(f"{name}: {part.repo}, {_size(part.size)}")
        path = find(part, places)
        count = check_sums(path, part)
        say(f"{name}: {f'{count} checksums agree' if count else 'no checksum is known'}")
        result(path)
    return 0


def _parts(model: str) -> dict[str, Part]:
    if model == FLUX:
        return dict(FLUX_DEV)
    known = {name: baseline.base for name, baseline in EDITORS.items() if baseline.base is not None}
    base = known.get(model)
    if base is None:
        raise UsageError(f"{model}: nothing of it is fetched; choose of {', '.join([FLUX, *known])}")
    return {"base": base}


def convert(options: Namespace) -> int:
    """A published adapter as safetensors with its configuration inside; the file on stdout."""
    out = Path(options.out)
    check_file(out, "the result", options.force)
    design = override(MODELS["published"], options.overrides)
    import torch

    from relation_adapter.model.published import convert_adapter

    dtypes = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    convert_adapter(options.file, out, design, dtypes[options.dtype])
    result(out)
    return 0


def _file_facts(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, its JSON unfolded."""
    header = read_header(path)
    facts: dict[str, Any] = {"file": str(path), "size": header.size, "parameters": dict(header.parameters())}
    if len(header.tensors) <= FEW:
        facts["shapes"] = {name: list(shape) for name, (_, shape) in header.tensors.items()}
    facts["dtype"] = ", ".join(header.dtypes())
    return facts | {key: _unfolded(text) for key, text in sorted(header.metadata.items()) if key not in facts}


def _folder_facts(folder: Path) -> dict[str, Any]:
    """The parts of a saved pipeline."""
    try:
        index = json.loads((folder / "model_index.json").read_bytes())
    except OSError as error:
        raise WeightsError(f"{folder}: not a saved pipeline (model_index.json: {reason(error)})") from error
    except ValueError as error:
        raise WeightsError(f"{folder / 'model_index.json'}: not valid JSON ({reason(error)}); save it again") from error
    parameters: Counter[str] = Counter()
    size = 0
    for path in sorted(folder.glob("*/*.safetensors")):
        header = read_header(path)
        parameters[path.parent.name] += header.parameters().total()
        size += header.size
    return {"file": str(folder), "size": size, "parameters": dict(parameters), "model_index": index}


def _unfolded(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in "{[" else text
    except (ValueError, RecursionError):
        return text


def _print(facts: dict[str, Any], indent: int = 0) -> None:
    width = max(map(len, facts), default=0)
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            total = f"  {_short(sum(value.values()))}" if (indent, key) == (0, "parameters") else ""
            result(f"{' ' * indent}{_plain(key)}{total}")
            _print(value, indent + 2)
        else:
            text = _size(value) if (indent, key) == (0, "size") else _plain(value)
            result(f"{' ' * indent}{_plain(key).ljust(width)}  {text}")


def _plain(value: object) -> str:
    """One line; what a file holds must not move the cursor of a terminal."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=True)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _short(number: int) -> str:
    """A count in at most three digits: 5.4 million."""
    for power, word in ((9, " billion"), (6, " million"), (3, " thousand")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{word}"
    return str(number)
