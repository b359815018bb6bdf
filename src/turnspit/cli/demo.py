"""``turnspit demo``: the example shop, worked off before your eyes."""

import importlib
import os
import sys
from pathlib import Path

import typer

import turnspit
from turnspit.cli.errors import Failed

__all__ = ["EXAMPLES", "demo", "is_here"]

EXAMPLES = ("turnspit demo",)


def is_here() -> bool:
    """Whether the example shop is here: it is in a checkout, and no part of an installation."""
    return _checkout() is not None


def demo(context: typer.Context) -> None:
    """Run the example shop: 200 orders, two workers, one of them killed half-way; in under a minute.

    It works in ./demo and needs a checkout of the repository. Further options go to examples/orders/demo.py.
    """
    checkout = _checkout()
    if checkout is None:
        raise Failed("the demo is not part of this installation: clone the repository and run `make demo`")
    # The workers that the demo starts must find it, too, whatever the working directory.
    sys.path.insert(0, str(checkout))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))
    try:
        main = importlib.import_module("examples.orders.demo").main
    except ModuleNotFoundError as error:
        raise Failed(f"the demo needs {error.name}: run `make demo` in a checkout, which installs it") from error
    raise typer.Exit(main(context.args))


def _checkout() -> Path | None:
    folder = Path(turnspit.__file__).parents[2]
    return folder if (folder / "examples" / "orders" / "demo.py").is_file() else None
