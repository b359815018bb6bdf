"""Importing every module below a name, for ``app.discover``."""

import importlib
import pkgutil
from types import ModuleType

__all__ = ["import_tree"]


def import_tree(name: str) -> list[ModuleType]:
    """The module of this name and all below it, except those that run as a program."""
    module = importlib.import_module(name)
    modules = [module]
    for entry in pkgutil.walk_packages(getattr(module, "__path__", []), prefix=name + "."):
        if entry.name.rpartition(".")[2] != "__main__":
            modules.append(importlib.import_module(entry.name))
    return modules
