"""A package from the npm registry, unpacked into a cache folder: nothing of it is installed or run by npm."""

import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.debian import CACHE

__all__ = ["unpack_npm"]


@cache
def unpack_npm(name: str, version: str) -> Path:
    """The folder with the package's files; the test is skipped where npm cannot fetch it."""
    folder = CACHE / f"npm-{name}-{version}"
    if folder.exists():
        return folder
    if shutil.which("npm") is None:
        pytest.skip(f"no npm to fetch {name} with")
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        command = ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", made]
        fetched = subprocess.run(command, cwd=made, capture_output=True, text=True, check=False, timeout=50)
        if fetched.returncode:
            pytest.skip(f"npm could not fetch {name}: {fetched.stderr.strip()[-200:]}")
        [archive] = Path(made).glob("*.tgz")
        with tarfile.open(archive) as file:
            file.extractall(Path(made) / "files", filter="data")
        try:
            (Path(made) / "files" / "package").rename(folder)
        except OSError:  # another process was faster
            assert folder.exists()
    return folder
