"""The systems that are measured. A system whose package is missing is reported, not left out silently."""

import importlib

from benchmarks.contract import System

__all__ = ["NAMES", "load"]

_MODULES = {
    "turnspit": "benchmarks.systems.turnspit_sqlite",
    "huey": "benchmarks.systems.huey_sqlite",
    "litequeue": "benchmarks.systems.litequeue_sqlite",
    "raw": "benchmarks.systems.raw_sqlite",
    "asyncio": "benchmarks.systems.raw_asyncio",
}

NAMES = tuple(_MODULES)


def load(name: str) -> type[System]:
    """The system of this name.

    :raises ImportError: if its package is not installed.
    """
    module = importlib.import_module(_MODULES[name])
    found = [each for each in vars(module).values() if isinstance(each, type) and getattr(each, "name", "") == name]
    system: type[System] = found[0]
    return system
