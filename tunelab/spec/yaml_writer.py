"""Plain values -> YAML as people write it: small mappings and lists on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_WIDTH = 100
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./]*(?:[ -][A-Za-z0-9_./]+)*")
# Words that some YAML reader, if not ours, takes for a value of another kind.
_NOT_PLAIN = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def to_yaml(mapping: Mapping[str, Any]) -> str:
    """A YAML document of the mapping; read back, it is equal to it.

    >>> print(to_yaml({"name": "digits", "space": {"units": {"low": 16, "high": 64}}}), end="")
    name: digits
    space:
      units: {low: 16, high: 64}
    """
    return "".join(f"{line}\n" for line in _block(mapping, ""))


def _block(mapping: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in mapping.items():
        line = f"{indent}{_text(key)}: {flow(value)}"
        nested = isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values())
        if isinstance(value, Mapping) and value and (nested or len(line) > _WIDTH):
            lines += [f"{indent}{_text(key)}:", *_block(value, indent + "  ")]
        else:
            lines.append(line)
    return lines


def flow(value: Any) -> str:
    """A value on one line.

    >>> print(flow({"drop": ["age", "no: 1"], "share": 0.2}))
    {drop: [age, "no: 1"], share: 0.2}
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN:
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _float(value: float) -> str:
    """``1e-07`` with a dot: YAML 1.1 readers take it for text without one."""
    digits, e, exponent = repr(value).partition("e")
    return digits + ("" if "." in digits or not e else ".0") + e + exponent
