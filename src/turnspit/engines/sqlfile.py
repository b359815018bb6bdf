"""SQL is written as SQL: named blocks in ``.sql`` files beside the engine that runs them.

A block begins with ``-- name: verb`` and ends at the next one. ``{now}`` and other marks in braces are
replaced when the file is read, so that a statement is complete text before the first call.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

__all__ = ["load_blocks"]

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


def load_blocks(package: str, names: Iterable[str], marks: Mapping[str, str]) -> dict[str, str]:
    """The blocks of every ``sql/<name>.sql`` in ``package``, by name, with ``{mark}`` replaced.

    :raises ValueError: if a name appears twice.
    """
    blocks: dict[str, str] = {}
    for name in names:
        text = files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
        parts = _NAME.split(text)[1:]
        for block, body in zip(parts[::2], parts[1::2], strict=True):
            if block in blocks:
                raise ValueError(f"{name}.sql has a block named {block}, which exists already")
            statement = _COMMENT.sub("", body).strip().removesuffix(";")
            for mark, replacement in marks.items():
                statement = statement.replace("{" + mark + "}", replacement)
            blocks[block] = statement
    return blocks
