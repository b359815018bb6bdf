"""Checking what callers say about pages: their size, and where one begins."""

from turnspit.errors import ConfigurationError

__all__ = ["check_after", "check_size", "position_of"]

_LARGEST_PAGE = 1000
_LARGEST_ID = 2**63 - 1


def check_size(limit: int) -> int:
    """The size of a page.

    :raises ConfigurationError: unless it is from 1 to 1,000.
    """
    if not isinstance(limit, int) or not 1 <= limit <= _LARGEST_PAGE:
        raise ConfigurationError(f"limit is from 1 to {_LARGEST_PAGE}, not {limit!r}")
    return limit


def check_after(after: int) -> int:
    """The id of the job after which a page of a workflow's jobs begins.

    :raises ConfigurationError: if it is no number that an id can have.
    """
    if not isinstance(after, int) or not 0 <= after <= _LARGEST_ID:
        raise ConfigurationError(f"after= takes the id of the last job of the page before, not {after!r}")
    return after


def position_of(after: str | None) -> int | None:
    """The id after which a page begins.

    :param after: the ``next`` of the page before.
    :raises ConfigurationError: if it is no such cursor.
    """
    if after is None:
        return None
    is_number = isinstance(after, str) and after.isdecimal() and len(after) <= len(str(_LARGEST_ID))
    if not is_number or int(after) > _LARGEST_ID:
        raise ConfigurationError(f"after= takes the next of a page, not {after!r}")
    return int(after)
