"""Checks of what callers say about pages: their size, and where one begins."""

from turnspit.errors import ConfigurationError
from turnspit.records import LARGEST_ID

__all__ = ["check_after", "check_size", "is_id", "position_of"]

_LARGEST_PAGE = 1000


def is_id(text: str) -> bool:
    """Whether a text is a number that can be an id.

    >>> is_id("113"), is_id("-1"), is_id("9" * 19)
    (True, False, False)
    """
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_ID))
    return is_number and int(text) <= LARGEST_ID


def check_size(limit: int) -> int:
    """The size of a page.

    :raises ConfigurationError: unless it is from 1 to 1,000.
    """
    if not isinstance(limit, int) or not 1 <= limit <= _LARGEST_PAGE:
        raise ConfigurationError(f"limit is from 1 to {_LARGEST_PAGE}, not {limit!r}")
    return limit


def check_after(after: int) -> int:
    """The id of the job after which a page of a workflow's jobs begins.

    :raises ConfigurationError: if it cannot be an id.
    """
    if not isinstance(after, int) or not 0 <= after <= LARGEST_ID:
        raise ConfigurationError(f"after= takes the id of the last job of the page before, not {after!r}")
    return after


def position_of(after: str | None) -> int | None:
    """The id after which a page begins.

    :param after: the ``next`` of the page before.
    :raises ConfigurationError: if it is not such a cursor.
    """
    if after is None:
        return None
    if not isinstance(after, str) or not is_id(after):
        raise ConfigurationError(f"after= takes the next of a page, not {after!r}")
    return int(after)
