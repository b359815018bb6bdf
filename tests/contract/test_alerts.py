"""Turns, and which alerts last."""

from concurrent.futures import ThreadPoolExecutor

from tests.contract.store import SECOND, Store
from turnspit.records import AlertChange, AlertKind, UnknownTask

OLDEST: tuple[AlertKind, str] = ("oldest", "queue mail")
DEAD: tuple[AlertKind, str] = ("dead", "task send")


def take(store: Store, name: str = "alerts") -> int:
    return store.engine.write(store.engine.take_turn, name, 15 * SECOND)


def settle(store: Store, *found: tuple[AlertKind, str], rule: str = "page", app: str = "shop") -> list[AlertChange]:
    return store.engine.write(store.engine.settle_alerts, app, rule, found, 60 * SECOND)


def test_a_turn_is_one_callers_until_the_next(store: Store) -> None:
    assert take(store) == 0
    assert take(store) == 15 * SECOND
    assert take(store, "another") == 0
    store.clock.advance(14)
    assert take(store) == SECOND
    store.clock.advance(1)
    assert [take(store), take(store)] == [0, 15 * SECOND]


def test_many_who_come_at_once_get_one_turn(store: Store) -> None:
    take(store)
    store.clock.advance(20)
    with ThreadPoolExecutor(8) as threads:
        taken = [turn for turn in threads.map(lambda _: take(store), range(40)) if turn == 0]
    assert len(taken) == 1


def test_an_alert_begins_lasts_and_is_over(store: Store) -> None:
    began = store.clock.moment
    assert settle(store, OLDEST) == [AlertChange(*OLDEST, "begins", began)]
    store.clock.advance(30)
    assert settle(store, OLDEST) == []
    store.clock.advance(30)
    assert settle(store, OLDEST, DEAD) == [
        AlertChange(*OLDEST, "lasts", began),
        AlertChange(*DEAD, "begins", store.clock.moment),
    ]
    assert settle(store, OLDEST, DEAD) == []
    assert settle(store, DEAD) == [AlertChange(*OLDEST, "over", began)]
    assert settle(store, DEAD) == []
    assert settle(store) == [AlertChange(*DEAD, "over", store.clock.moment)]


def test_rules_and_apps_have_their_own(store: Store) -> None:
    settle(store, DEAD)
    assert settle(store, rule="other") == []
    assert settle(store, app="other") == []
    assert len(settle(store, DEAD, rule="other")) == 1
    assert len(settle(store)) == 1


def test_a_change_is_given_to_one_caller(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        begun = [change for changes in threads.map(lambda _: settle(store, OLDEST), range(20)) for change in changes]
        over = [change for changes in threads.map(lambda _: settle(store), range(20)) for change in changes]
    assert [change.state for change in (*begun, *over)] == ["begins", "over"]


def test_tasks_that_nobody_knew(store: Store) -> None:
    assert store.engine.read(store.engine.find_unknown_tasks) == []
    began = store.clock.moment
    for task in ("report", "audit", "report"):
        store.insert(task)
    store.claim(10)
    assert store.engine.read(store.engine.find_unknown_tasks) == [
        UnknownTask("audit", began),
        UnknownTask("report", began),
    ]
    store.engine.write(store.engine.pause, "task", "audit")
    store.insert("audit")
    store.claim(10)
    assert [each.task for each in store.engine.read(store.engine.find_unknown_tasks)] == ["audit", "report"]
