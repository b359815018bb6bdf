"""How a command ends badly: one line that says what happened and what to do, and an exit code.

0 is done, 1 is failed, 2 is wrong usage, or a store that will never do.
"""

from turnspit.errors import (
    ConfigurationError,
    InvalidArguments,
    InvalidPayload,
    SchemaMismatch,
    StoreRefused,
    TurnspitError,
)

__all__ = ["Failed", "StopRequested", "WrongUsage", "exit_code_of"]

_WRONG_USAGE = (ConfigurationError, InvalidArguments, InvalidPayload, SchemaMismatch, StoreRefused)


class Failed(Exception):
    """The command was understood and could not be done."""

    exit_code = 1


class WrongUsage(Failed):
    """The command cannot be meant as it was typed."""

    exit_code = 2


class StopRequested(BaseException):
    """A signal came before there was anything to stop."""


def exit_code_of(error: TurnspitError) -> int:
    """The exit code of an error that a verb raised."""
    return 2 if isinstance(error, _WRONG_USAGE) else 1
