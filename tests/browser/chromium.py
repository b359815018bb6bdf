"""Debian's Chromium, fetched where the machine has none, and driven by Playwright; a dashboard served beside it."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn
from playwright.sync_api import Browser, sync_playwright

from tests import debian

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--font-render-hinting=none",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    program, environment = _find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, env={**os.environ, **environment}, args=list(_ARGUMENTS), timeout=30_000
        )
        try:
            yield browser
        finally:
            browser.close()


def _find() -> tuple[str, dict[str, str]]:
    installed = shutil.which("chromium")
    if installed is not None:
        return installed, {}
    root = debian.unpack_whole("chromium", "fonts-dejavu-core")
    libraries = debian.environment(root)["LD_LIBRARY_PATH"]
    return str(root / "usr" / "lib" / "chromium" / "chromium"), {"LD_LIBRARY_PATH": libraries} | _fonts(root)


def _fonts(root: Path) -> dict[str, str]:
    """Where there are no fonts, those of the package."""
    if Path("/usr/share/fonts/truetype").is_dir():
        return {}
    file = root / "fonts.conf"
    file.write_text(f"<fontconfig><dir>{root}/usr/share/fonts</dir><cachedir>{root}/fontcache</cachedir></fontconfig>")
    return {"FONTCONFIG_FILE": str(file)}


@contextmanager
def served(app: Any) -> Iterator[str]:
    """An ASGI app on a free port of this machine: its URL, without a slash at the end."""
    listener = socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who comes before the server runs waits for it
    config = uvicorn.Config(app, log_level="error", lifespan="off", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
