"""Pages of what a store has: how large one is, and where the next begins."""

from turnspit.errors import ConfigurationError

__all__ = ["check_size", "position_of"]

_LARGEST_PAGE = 1000


def check_size(limit: int) -> int:
    """A page's size, if it can be one.

    :raises ConfigurationError: otherwise.
    """
    if not isinstance(limit, int) or not 1 <= limit <= _LARGEST_PAGE:
        raise ConfigurationError(f"limit is from 1 to {_LARGEST_PAGE}, not {limit!r}")
    return limit


def position_of(after: str | None) -> int | None:
    """Where the page behind ``after`` begins.

    :raises ConfigurationError: for what is no cursor.
    """
    if after is None:
        return None
    if not isinstance(after, str) or not after.isdecimal():
        raise ConfigurationError(f"after= takes the next of a page, not {after!r}")
    return int(after)
