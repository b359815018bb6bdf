"""``docs/cli.md`` from the commands themselves: ``make docs`` writes it, ``tests/docs`` holds it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from turnspit.cli.help import described, option_names, parameters, sections, usage
from turnspit.cli.main import app

__all__ = ["PAGE", "cli_page", "every_command"]

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"

_ABOUT = """\
<!-- Generated from the code by `make docs`. -->

# Command line

`pip install "turnspit[cli]"` brings `turnspit`; `python -m turnspit` is the same.

**APP** is `package.module:app`, or a file like `jobs.py:app`; the name after the colon may be left out if the module
has only one app. The working directory is searched first. Commands that need no tasks also take a store's URL, like
`sqlite:///shop.db`. Without either, they use `$TURNSPIT_APP`, then `$TURNSPIT_URL`.

**Exit codes**: 0 done, 1 failed (also: the database is away, or lacks a right), 2 wrong usage (also: a wrong URL, no
store, a store of a newer release, and a worker that its store does not let begin, for whatever reason). Whatever goes
wrong is one line on stderr. Results go to stdout, everything else to stderr.

**`--json`** prints one document whose field names are stable; times are ISO 8601 in UTC, durations seconds. Tables are
as wide as the terminal, or as `$COLUMNS` says; `$NO_COLOR` switches colours off, and bold too.

**Shell completion**: `turnspit --install-completion` (bash, zsh, fish, PowerShell).

**TIME**: a duration is seconds or a number with a unit (`90`, `500ms`, `5m`, `1h30m`, `2d`); a moment is ISO 8601,
local without a zone (`2030-12-31T09:00`, `2030-12-31T09:00+01:00`).
"""


def cli_page() -> str:
    """The page as it must be."""
    lines = [_ABOUT]
    for command, context in every_command():
        if isinstance(command, TyperGroup):
            continue
        lines += [f"## {context.command_path}", "", "```text", usage(command, context), "```", ""]
        lines += [" ".join(paragraph.split()) + "\n" for paragraph in (command.help or "").split("\n\n")]
        shown = [param for param in parameters(command, context) if param.name != "help"]
        arguments = [param for param in shown if param.param_type_name == "argument"]
        if arguments:
            lines += ["| argument | |", "|---|---|"]
            lines += [f"| `{_cell(param.metavar)}` | {_cell(param.help)} |" for param in arguments]
            lines += [""]
        options = sections((param for param in shown if param.param_type_name == "option"), "Options")
        for heading, members in sorted(options.items(), key=lambda item: item[0] == "Options"):
            lines += [f"| {'option' if heading == 'Options' else heading.lower()} | |", "|---|---|"]
            lines += [f"| `{_cell(option_names(param))}` | {_cell(described(param))} |" for param in members]
            lines += [""]
        lines += ["```console", *(f"$ {example}" for example in (command.epilog or "").split("\n\n")), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def every_command() -> Iterator[tuple[Any, Any]]:
    """Every command and group, with its context, in the order of ``--help``."""
    root: Any = get_command(app)
    yield from _below(root, root.context_class(root, info_name="turnspit"))


def _below(command: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    yield command, context
    if isinstance(command, TyperGroup):
        children = [command.get_command(context, name) for name in command.list_commands(context)]
        for members in sections(children, "Commands").values():
            for child in members:
                yield from _below(child, child.context_class(child, parent=context, info_name=child.name))


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")
