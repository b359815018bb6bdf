"""Turnspit's pytest plugin: the fixtures ``turnspit_store`` and ``turnspit_app``.

It stands outside the package because pytest imports it at every start, in every project of an environment where
Turnspit is installed. Importing ``turnspit`` takes about 150 ms, so that waits until a fixture is used.
"""

from collections.abc import Iterator
from typing import Any

import pytest

_NO_APP = """turnspit_store needs to know your app. Put this into conftest.py:

    import pytest
    from shop.jobs import app     # your Turnspit(...)

    @pytest.fixture
    def turnspit_app():
        return app
"""


@pytest.fixture
def turnspit_app() -> Any:
    """The app that ``turnspit_store`` gives a private store: define a fixture of this name that returns yours."""
    pytest.fail(_NO_APP, pytrace=False)


@pytest.fixture
def turnspit_store(turnspit_app: Any) -> Iterator[Any]:
    """A private store for this test, on a clock that it owns: ``turnspit.testing.override(turnspit_app)``."""
    from turnspit.testing import override  # noqa: PLC0415  (the reason of this module)

    with override(turnspit_app) as store:
        yield store
