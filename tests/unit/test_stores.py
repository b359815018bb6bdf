"""An app's store, as threads meet it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from turnspit import Turnspit, stores


def test_threads_that_use_an_app_first_at_once_have_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one would keep its connections and threads for good: nobody could close it."""
    both = threading.Barrier(2)
    open_engine = stores.open_engine

    def opened(url: str, **options: Any) -> Any:
        both.wait(30)
        return open_engine(url, **options)

    app = Turnspit()
    monkeypatch.setattr(stores, "open_engine", opened)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: app.store.own_engine, range(2))
    assert first is second is app.store.own_engine
