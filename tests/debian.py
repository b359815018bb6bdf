"""Programs from Debian's packages, unpacked into a cache folder: nothing is installed, and root is not needed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

__all__ = ["CACHE", "environment", "unpack_whole", "unpack_with_libraries"]

CACHE = Path(os.environ.get("TURNSPIT_TEST_CACHE", Path(tempfile.gettempdir()) / f"turnspit-debian-{os.getuid()}"))


@cache
def unpack_whole(*packages: str) -> Path:
    """The folder that stands for ``/``, with these packages in it and all that they need and this machine has not; the
    test is skipped where there is no Debian.
    """
    return _unpack("-".join([*packages, "whole"]), tuple(_needed(packages)))


@cache
def unpack_with_libraries(package: str) -> Path:
    """``unpack_whole`` without what only its installation or its service needs."""
    libraries = [name for name in _needed((package,)) if name.startswith("lib") and name != package]
    return _unpack(f"{package}-with-libraries", (package, *libraries))


def _needed(packages: Iterable[str]) -> list[str]:
    _look_for_debian(packages)
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", "-q", *packages]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip(f"apt-get does not know {', '.join(packages)}: {answer.stderr.strip()[-200:]}")
    return [line.split()[1] for line in answer.stdout.splitlines() if line.startswith("Inst ")]


def _look_for_debian(packages: Iterable[str]) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        pytest.skip("no Debian: apt-get and dpkg are needed to fetch " + ", ".join(packages))


@cache
def _unpack(name: str, packages: tuple[str, ...]) -> Path:
    _look_for_debian(packages)
    root = CACHE / name
    if not root.exists():
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as made:
            folder = Path(made)
            folder.chmod(0o755)
            fetched = subprocess.run(
                ["apt-get", "download", "-q", *packages], cwd=folder, capture_output=True, text=True, check=False
            )
            if fetched.returncode:
                pytest.skip(f"apt-get could not fetch {', '.join(packages)}: {fetched.stderr.strip()[-200:]}")
            for package in folder.glob("*.deb"):
                subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
            try:
                (folder / "root").rename(root)
            except OSError:  # another process was faster
                assert root.exists()
    return root


def environment(root: Path) -> dict[str, str]:
    """What a program of such a folder needs to find its libraries."""
    folders = {str(library.parent) for library in (root / "usr" / "lib").rglob("*.so*")}
    return {"PATH": f"{root}/usr/sbin:{root}/usr/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": ":".join(sorted(folders))}
