"""Whether a write comes from our own pages: another site's page must not use a person's cookie, or reach loopback."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

__all__ = ["LOOPBACK", "SAFE_METHODS", "find_foreign_origin", "is_loopback_host"]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def find_foreign_origin(headers: Headers) -> str | None:
    """Why a write with these headers is refused; ``None`` if it is not.

    Every browser says where a write comes from. A program need not: it sends no cookie that another site could misuse.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None and site != "same-origin":
        return f"this page was asked to act by another one (Sec-Fetch-Site: {site[:30]})"
    if origin is not None and _host_of(origin) != headers.get("host", ""):
        return f"this page was asked to act by another one (Origin: {origin[:200]})"
    if site is None and origin is None and "cookie" in headers:
        return "a browser has to say where a write comes from (Origin or Sec-Fetch-Site)"
    return None


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def is_loopback_host(headers: Headers) -> bool:
    """Whether the Host header names this machine: after DNS rebinding it names another site, which resolves to us."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname in LOOPBACK
    except ValueError:
        return False
