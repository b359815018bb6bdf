"""Whether a write comes from our own pages: another site's page must not act with a person's cookie or on loopback."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

__all__ = ["LOOPBACK", "SAFE_METHODS", "find_foreign_origin", "is_loopback_host"]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def find_foreign_origin(headers: Headers) -> str | None:
    """What speaks against a write with these headers; ``None`` if nothing does.

    Every browser says where a write comes from. A program need not, and has no cookie that somebody could misuse.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None and site != "same-origin":
        return f"this page was asked to act by another one (Sec-Fetch-Site: {site[:30]})"
    if origin is not None and urlsplit(origin).netloc != headers.get("host", ""):
        return f"this page was asked to act by another one (Origin: {origin[:200]})"
    if site is None and origin is None and "cookie" in headers:
        return "a browser has to say where a write comes from (Origin or Sec-Fetch-Site)"
    return None


def is_loopback_host(headers: Headers) -> bool:
    """Whether the browser believes to talk to this very machine: another site's name may be made to lead here."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname in LOOPBACK
    except ValueError:
        return False
