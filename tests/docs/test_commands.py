"""The commands that a page tells somebody in a hurry exist, with their options."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from turnspit.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "incidents.md"
TOLD = re.compile(r"(?:^\$ |`)(turnspit [^`\n]+(?:\n  [^`\n]+)?)(?:`|$)", re.MULTILINE)
COMMANDS = sorted({" ".join(told.split()) for told in TOLD.findall(PAGE.read_text())})


def test_the_page_tells_commands() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("told", COMMANDS)
def test_a_command_of_the_page_is_one(told: str) -> None:
    command: Any = get_command(app)
    words = shlex.split(told.partition("|")[0])[1:]
    while hasattr(command, "commands"):
        assert words[0] in command.commands
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known
