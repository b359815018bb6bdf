"""``turnspit`` and ``python -m turnspit``: the command line."""

import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("typer", "rich", "click", "shellingham")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code.

    :param arguments: the words after ``turnspit``; by default those that were typed.
    """
    try:
        from turnspit.cli.main import main as run  # noqa: PLC0415  (an optional extra)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.stderr.write(f'turnspit: the command line needs {missing}: pip install "turnspit[cli]"\n')
        return 2
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
