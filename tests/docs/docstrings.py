"""A docstring as Markdown."""

import inspect
import re
from typing import Any

_FIELD = re.compile(r"^:(param|raises|returns)\b ?([^:]*): ?(.*)$")
_LABELS = {"param": "- `{}`: ", "raises": "- raises `{}` ", "returns": "- returns "}


def markdown(thing: Any) -> str:
    """The docstring of ``thing``: fields become a list, literal blocks become code."""
    out: list[str] = []
    code: list[str] | None = None
    for line in (inspect.getdoc(thing) or "").splitlines():
        if code is not None and (line.startswith("    ") or not line):
            code.append(line)
            continue
        if code is not None:
            out += _block(code)
            code = None
        if line.strip() == "::":
            code = []
        elif line.rstrip().endswith("::"):
            code = []
            out.append(_field(line.rstrip()[:-1]))
        else:
            out.append(_field(line))
    if code is not None:
        out += _block(code)
    return _spaced(out).replace("``", "`").replace("\0", "```").strip()


def _field(line: str) -> str:
    match = _FIELD.match(line)
    if match is None:
        return "  " + line.strip() if line.startswith("    ") else line
    return _LABELS[match[1]].format(match[2]) + match[3]


def _block(code: list[str]) -> list[str]:
    """The block, fenced; NUL stands for the fence until inline literals are rewritten."""
    body = inspect.cleandoc("\n".join(code)).splitlines()
    return ["\0python", *body, "\0", ""]


def _spaced(lines: list[str]) -> str:
    """A list needs an empty line before it."""
    spaced: list[str] = []
    for line in lines:
        starts_list = line.startswith("- ") and spaced and spaced[-1] and not spaced[-1].startswith(("- ", "  "))
        spaced += ["", line] if starts_list else [line]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(spaced))
