"""How ``--help`` looks: no frames, nothing wider than the terminal, and an example for each command."""

import io
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from turnspit.cli.launching import as_typed, program
from turnspit.cli.output import color_system, console_width

__all__ = ["Command", "Group", "described", "option_names", "parameters", "sections", "usage"]

_WIDEST = 100


class Command(TyperCommand):
    """A command with Turnspit's help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(_render(self, ctx))


class Group(TyperGroup):
    """A group of commands with Turnspit's help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(_render(self, ctx))


def usage(command: Any, ctx: Any) -> str:
    """How the command is typed."""
    arguments = [param.metavar for param in parameters(command, ctx) if param.param_type_name == "argument"]
    rest = ["COMMAND"] if isinstance(command, TyperGroup) else [*arguments, "[OPTIONS]"]
    return " ".join([ctx.command_path, *rest])


def parameters(command: Any, ctx: Any) -> list[Any]:
    """The arguments and options that are shown."""
    shown = [param for param in command.get_params(ctx) if not getattr(param, "hidden", False)]
    return shown if program() == "turnspit" else [param for param in shown if "completion" not in (param.name or "")]


def sections(items: Iterable[Any], default: str) -> dict[str, list[Any]]:
    """Options or commands, grouped by their heading."""
    found: dict[str, list[Any]] = {}
    for item in items:
        heading = getattr(item, "rich_help_panel", None)
        found.setdefault(heading if isinstance(heading, str) else default, []).append(item)
    return found


def option_names(param: Any) -> str:
    """``-q, --queues A,B``."""
    names = ", ".join(sorted(param.opts, key=len))
    return names if param.is_flag else f"{names} {param.metavar}"


def described(param: Any) -> str:
    """An option's help with its default."""
    default = "" if param.is_flag or param.default in (None, "") else f" Default: {param.default}."
    return f"{param.help}{default}"


def _render(command: Any, ctx: Any) -> str:
    file = io.StringIO()
    width = min(console_width(sys.stdout) or _WIDEST, _WIDEST)
    console = Console(
        file=file,
        width=width,
        force_terminal=sys.stdout.isatty(),
        color_system=color_system(),
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(Text.assemble(("Usage: ", "bold"), usage(command, ctx)))
    for paragraph in (command.help or "").split("\n\n"):
        console.print()
        console.print(Padding(Text(" ".join(paragraph.split())), (0, 0, 0, 2)))
    params = parameters(command, ctx)
    rows = [(_words(param), param.help or "") for param in params if param.param_type_name == "argument"]
    _print_rows(console, "Arguments", rows)
    if isinstance(command, TyperGroup):
        children = (command.get_command(ctx, name) for name in command.list_commands(ctx))
        shown = [child for child in children if child is not None and not child.hidden]
        for heading, members in sections(shown, "Commands").items():
            _print_rows(console, heading, [(Text(child.name or "", "cyan"), _summary(child)) for child in members])
    options = [param for param in params if param.param_type_name == "option"]
    for heading, members in sorted(sections(options, "Options").items(), key=lambda item: item[0] == "Options"):
        _print_rows(console, heading, [(_words(param), described(param)) for param in members])
    if command.epilog:
        console.print(Text("\nExamples", "bold"))
        for example in command.epilog.split("\n\n"):
            console.print(Text("  " + as_typed(example)), soft_wrap=True)
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _summary(command: Any) -> str:
    first = " ".join((command.help or "").split("\n\n")[0].split())
    return first.partition(". ")[0].rstrip(".") + "."


def _words(param: Any) -> Text:
    if param.param_type_name == "argument":
        return Text(param.metavar, "cyan")
    names, _, metavar = option_names(param).rpartition(" ") if not param.is_flag else (option_names(param), "", "")
    return Text.assemble((names, "cyan"), f" {metavar}" if metavar else "")


def _print_rows(console: Console, heading: str, rows: list[tuple[Text, str]]) -> None:
    if not rows:
        return
    console.print(Text(f"\n{heading}", "bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for words, help_text in rows:
        table.add_row(Text.assemble("  ", words), help_text)
    console.print(table)
