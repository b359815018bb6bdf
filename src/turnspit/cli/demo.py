"""``turnspit demo``: the example shop, worked off before your eyes."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

import typer

import turnspit
from turnspit.cli.errors import Failed

__all__ = ["EXAMPLES", "demo"]

EXAMPLES = ("turnspit demo",)

_IN_THE_PACKAGE = "turnspit._demo"
_IN_A_CHECKOUT = "examples.orders.demo"


def demo(context: typer.Context) -> None:
    """Run the example shop: 200 orders, two workers, one of them killed half-way; in under a minute.

    It works in ./demo and needs a checkout of the repository. Further options go to examples/orders/demo.py.
    """
    name = _find()
    if name is None:
        raise Failed("the demo is not part of this installation: clone the repository and run `make demo`")
    try:
        main = importlib.import_module(name).main
    except ModuleNotFoundError as error:
        raise Failed(f"the demo needs {error.name}: run `make demo` in a checkout, which installs it") from error
    raise typer.Exit(main(context.args))


def _find() -> str | None:
    if importlib.util.find_spec(_IN_THE_PACKAGE) is not None:
        return _IN_THE_PACKAGE
    checkout = Path(turnspit.__file__).parents[2]
    if not (checkout / "examples" / "orders" / "demo.py").is_file():
        return None
    # Also for the workers that the demo starts, wherever it is started.
    sys.path.insert(0, str(checkout))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))
    return _IN_A_CHECKOUT
