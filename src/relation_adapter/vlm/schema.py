"""The shape of a reply: sent to the server as JSON schema, and checked here, as not every server holds to it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from relation_adapter.files import reason

Schema = Mapping[str, Any]

KINDS: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
}


def object_schema(**fields: Mapping[str, Any]) -> Schema:
    """An object with exactly these fields, each {"type": string|boolean|integer|number} and optionally {"enum": [...]}.

    A field may be such an object in its turn. No other keyword: what strict servers take differs, and a blank text is
    refused in any case.
    """
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def parse(text: str, schema: Schema) -> dict[str, Any]:
    """The object in a reply. Thoughts before it, words or a fence around it are passed over; it must be right itself.

    Raises ValueError with what is wrong with it.
    """
    text = text.rpartition("</think>")[2]
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ValueError("not JSON")
    try:
        values = json.loads(text[start : end + 1])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({reason(error)})") from error
    return _fields(values, schema)


def _fields(values: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    fields = schema["properties"]
    missing, strange = sorted(fields.keys() - values.keys()), sorted(values.keys() - fields.keys())
    if missing or strange:
        raise ValueError(
            "; ".join(f"{what} {names[0]!r}" for what, names in (("no", missing), ("an unknown", strange)) if names)
        )
    return {name: _checked(name, values[name], field) for name, field in fields.items()}


def _checked(name: str, value: Any, field: Mapping[str, Any]) -> Any:
    kind = field["type"]
    if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise ValueError(f"{name!r} is no {kind}")
    if isinstance(value, dict):
        return _fields(value, field)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name!r} is not finite")
    if isinstance(value, str):
        value = value.strip()
        if not value:
            raise ValueError(f"{name!r} is blank")
        if any(0xD800 <= ord(character) <= 0xDFFF or character == "\0" for character in value):
            raise ValueError(f"{name!r} holds characters that are no text")
    if value not in field.get("enum", [value]):
        raise ValueError(f"{name!r} is {value!r}, which is none of {', '.join(map(str, field['enum']))}")
    return value
