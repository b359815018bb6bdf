"""Stores that cannot be moved into each other: one line, and nothing has changed."""

from pathlib import Path

import pytest

from tests.moving.conftest import DIRECTIONS, move
from tests.upgrade.tomorrow import TODAY, tomorrow
from turnspit import Turnspit
from turnspit.engines import open_engine
from turnspit.errors import ConfigurationError, SchemaMismatch

ONCE = pytest.mark.parametrize("urls", DIRECTIONS[:1], indirect=True, ids="-to-".join)


def still_works(app: Turnspit) -> None:
    app.tasks["double"].enqueue(1)


def test_a_target_that_is_not_empty(filled: Turnspit, new: Turnspit) -> None:
    new.tasks["double"].enqueue(1)
    with pytest.raises(ConfigurationError, match=r"is not empty \(it has rows in jobs\): ids are kept"):
        move(filled, new)
    still_works(filled)
    still_works(new)


@ONCE
def test_the_same_store(filled: Turnspit, folder: Path) -> None:
    (folder / "link.db").symlink_to(folder / "old.db")
    for url in (f"sqlite:///{folder}/old.db", f"sqlite:///{folder}/link.db"):
        with (
            Turnspit(url) as same,
            pytest.raises(ConfigurationError, match=r"to itself|are the same store|is not empty"),
        ):
            move(filled, same)
    still_works(filled)


@ONCE
def test_the_same_empty_store_by_another_name(old: Turnspit, folder: Path) -> None:
    old.migrate()
    (folder / "link.db").symlink_to(folder / "old.db")
    with Turnspit(f"sqlite:///{folder}/link.db") as same, pytest.raises(ConfigurationError, match="are the same store"):
        move(old, same)
    still_works(old)


def test_a_store_of_another_release(filled: Turnspit, new: Turnspit, urls: tuple[str, str]) -> None:
    with tomorrow():
        open_engine(urls[1]).migrate()
    with pytest.raises(SchemaMismatch, match=f"has schema {TODAY + 1}, but this Turnspit knows {TODAY}, and only the"):
        move(filled, new)
    still_works(filled)


def test_stores_of_other_moves(filled: Turnspit, new: Turnspit, folder: Path) -> None:
    filled.engine.write(filled.engine.freeze_store, "token", "elsewhere", False, "is frozen")
    with pytest.raises(ConfigurationError, match="is being moved to elsewhere: complete that move, or give it up"):
        move(filled, new)
    filled.engine.write(filled.engine.thaw_store)
    new.migrate()
    new.engine.write(new.engine.fill_store, "token", "elsewhere", False, "is being filled")
    with pytest.raises(ConfigurationError, match="is being filled from elsewhere: complete that move first"):
        move(filled, new)
    still_works(filled)
    with Turnspit(f"sqlite:///{folder}/third.db") as third, pytest.raises(ConfigurationError, match="is itself being"):
        move(new, third)


def test_a_store_that_has_moved_to_elsewhere(filled: Turnspit, new: Turnspit, folder: Path) -> None:
    move(filled, new)
    with Turnspit(f"sqlite:///{folder}/third.db") as third:
        third.migrate()
        with pytest.raises(ConfigurationError, match="has moved to"):
            move(filled, third)
        with pytest.raises(ConfigurationError, match="cannot be filled: it moves, or has moved, to"):
            move(third, filled)
