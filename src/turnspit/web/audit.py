"""The audit log: the logger ``turnspit.audit`` has a line for every change that somebody made."""

from typing import Any

from starlette.requests import Request

from turnspit.logs import guarded_logger

__all__ = ["audit", "who"]

logger = guarded_logger("turnspit.audit")


def who(request: Request) -> str:
    """The person who asked, as far as it is known."""
    identify = request.scope["turnspit.identify"]
    try:
        name = identify(request) if identify is not None else None
    except Exception:  # what somebody did is done, and is told whatever the application's own function raises
        logger.exception("identify= failed for %s", request.url.path)
        return "unknown"
    if name:
        return str(name)
    return "token" if request.scope["turnspit.has_token"] else "local"


def audit(request: Request, action: str, **facts: Any) -> None:
    """Say who did what to what, from where; ``extra`` has the same for a structured log."""
    place = request.client.host if request.client is not None else "unknown"
    told = {"action": action, "who": who(request), "from": place} | facts
    text = " ".join(f"{name}={_plain(value)}" for name, value in told.items())
    logger.info("%s", text, extra={"turnspit_audit": told})


def _plain(value: Any) -> str:
    """The value without line breaks and spaces: the name of a queue must not be able to forge a line of the log."""
    text = str(value)
    return text if text.isascii() and text.isprintable() and " " not in text else ascii(text)
