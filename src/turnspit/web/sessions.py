"""Who has shown the token: a signed cookie, or the token itself with every request.

>>> cookie = make_session("secret", now=1000)
>>> is_session(cookie, "secret", now=1001), is_session(cookie, "secret", now=10**6)
(True, False)
>>> is_session(cookie, "secret", now=999), is_session(cookie, "secret", now=0)
(True, False)
>>> is_session(cookie, "other", now=1001)
False
"""

import hashlib
import hmac

__all__ = ["COOKIE", "LIFETIME", "is_session", "is_token", "make_session"]

COOKIE = "turnspit_session"
LIFETIME = 12 * 3600
"""Seconds that a session lasts."""
_AHEAD = 300
"""Seconds by which the clock of another machine, behind the same address, may be ahead."""


def is_token(given: str, token: str) -> bool:
    """Whether this is the token; takes as long for every wrong one."""
    return hmac.compare_digest(given.encode(), token.encode())


def make_session(token: str, now: int) -> str:
    """A cookie that proves that the token was shown at this moment, in seconds. Another token makes it invalid."""
    return f"{now}.{_sign(token, now)}"


def is_session(cookie: str, token: str, now: int) -> bool:
    """Whether a cookie was made for this token, and is not too old."""
    moment, _, signature = cookie.partition(".")
    if not (moment.isascii() and moment.isdecimal() and len(moment) < 20):
        return False
    begun = int(moment)
    return hmac.compare_digest(signature.encode(), _sign(token, begun).encode()) and -_AHEAD <= now - begun < LIFETIME


def _sign(token: str, moment: int) -> str:
    return hmac.new(token.encode(), f"turnspit session {moment}".encode(), hashlib.sha256).hexdigest()
