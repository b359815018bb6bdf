"""The bell: heard in this process and in others, and hints only."""

import signal
import threading
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from typing import Any

import psycopg
import pytest

from tests.contract.store import Store
from tests.postgres import server_url
from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb, Wake, WakeKind
from turnspit.engines import open_engine
from turnspit.engines.listeners import Listeners
from turnspit.engines.sqlite import wakeups as sqlite_wakeups
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")


class Ear:
    """Hears every wake of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._heard: Queue[Wake] = Queue()
        self.stop = engine.wakeups.listen(self._heard.put)

    def wait_for(self, matches: Callable[[Wake], bool], timeout: float = 10) -> Wake:
        while True:
            wake = self._heard.get(timeout=timeout)
            if matches(wake):
                return wake

    def drain(self, quiet: float = 0.15) -> list[Wake]:
        """What came, until nothing came for a while."""
        heard = []
        while True:
            try:
                heard.append(self._heard.get(timeout=quiet))
            except Empty:
                return heard


@pytest.fixture
def other(url: str) -> Iterator[Engine]:
    """Another engine on the same store, as another process has."""
    engine = open_engine(url, durability="relaxed")
    yield engine
    engine.close()


def ready(wake: Wake) -> bool:
    return wake.kind is WakeKind.READY


def test_a_commit_is_heard_in_its_own_process(store: Store) -> None:
    ear = Ear(store.engine)
    store.insert()
    assert ear.wait_for(ready) == Wake(WakeKind.READY)


def test_a_commit_is_heard_by_others(store: Store, other: Engine) -> None:
    store.insert()
    ear = Ear(other)
    ear.drain()
    store.insert()
    ear.wait_for(ready)


@pytest.mark.parametrize("tx", [False, True])
def test_the_ends_of_many_jobs_are_heard_whatever_their_ids(engine: Engine, other: Engine, url: str, tx: bool) -> None:
    """Their ids in one notification were more than PostgreSQL takes: a bulk cancel failed on a store with large ids."""
    ids = tuple(range(10**9, 10**9 + 1000))

    def end() -> Verb[None]:
        yield Wake(WakeKind.FINISHED, ids)

    engine.write(engine.insert_job, NEW)
    ear = Ear(other)
    ear.drain()
    if tx and url.startswith("postgres"):
        with psycopg.connect(server_url(url)) as connection:
            engine.write_in(connection, end)
    else:
        engine.write(end)
    heard = ear.wait_for(lambda wake: wake.kind is WakeKind.FINISHED)
    assert heard.jobs in ((), ids)


def test_every_listener_hears(store: Store, other: Engine) -> None:
    store.insert()
    ears = [Ear(store.engine), Ear(store.engine), Ear(other), Ear(other)]
    for ear in ears:
        ear.drain(0.1)
    store.insert()
    for ear in ears:
        ear.wait_for(ready)


def test_the_end_of_a_job_names_it_to_others(store: Store, other: Engine) -> None:
    store.insert_many(2)
    one, two = store.claim(2)
    ear = Ear(other)
    ear.drain()
    store.complete(one)
    assert one.id in ear.wait_for(lambda wake: wake.kind is WakeKind.FINISHED and bool(wake.jobs)).jobs
    store.complete(two)
    assert two.id in ear.wait_for(lambda wake: wake.kind is WakeKind.FINISHED and two.id in wake.jobs).jobs


def test_a_call_that_fails_rings_no_bell(store: Store) -> None:
    store.insert()
    ear = Ear(store.engine)
    ear.wait_for(ready)  # who begins to listen is told of everything, when that is
    ear.drain()
    with pytest.raises(Exception, match=r"NOT NULL|null"):
        store.engine.write(store.engine.insert_jobs, [NEW, NewJob("send", "default", None)])  # type: ignore[arg-type]
    assert ear.drain() == []


def test_after_its_end_a_listener_hears_nothing(store: Store, other: Engine) -> None:
    store.insert()
    ended, ear = Ear(other), Ear(other)
    ended.wait_for(ready)
    ended.drain()
    ended.stop()
    ended.stop()
    ear.drain()
    store.insert()
    ear.wait_for(ready)
    assert ended.drain(0.05) == []


def test_who_stops_listening_may_listen_again(store: Store, other: Engine) -> None:
    store.insert()
    Ear(other).stop()
    ear = Ear(other)
    ear.drain()
    store.insert()
    ear.wait_for(ready)


def test_the_thread_that_nobody_needs_any_more_ends_at_once(
    store: Store, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who closes the store or forks waits for that: none of its connections may be open then."""
    monkeypatch.setattr(sqlite_wakeups, "_POLL", 60.0)
    store.insert()
    ear = Ear(other)
    thread = getattr(other.wakeups, "_thread", None)  # on PostgreSQL one goes on listening for some seconds
    ear.stop()
    other.close()
    assert thread is None or not thread._thread.is_alive()


def test_who_stops_listening_waits_for_nobody_who_is_told(store: Store, other: Engine) -> None:
    """Event loops call it."""
    store.insert()
    told, let_go = threading.Event(), threading.Event()

    def is_told(wake: Wake) -> None:
        told.set()
        let_go.wait(20)

    stop = other.wakeups.listen(is_told)
    assert told.wait(20), "told to look at everything, once it hears"
    began = monotonic()
    stop()
    assert monotonic() - began < 4
    let_go.set()


def test_a_signal_handler_may_listen_while_its_thread_begins_to(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add, heard = Listeners.add, list[Ear]()

    def interrupted(listeners: Listeners, *arguments: Any) -> None:
        add(listeners, *arguments)
        if not heard:
            signal.raise_signal(signal.SIGUSR1)

    def handle(*_: Any) -> None:
        heard.append(None)  # type: ignore[arg-type]
        heard[0] = Ear(store.engine)

    monkeypatch.setattr(Listeners, "add", interrupted)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        ear = Ear(store.engine)
    finally:
        signal.signal(signal.SIGUSR1, before)
    store.insert()
    for each in (ear, *heard):
        each.wait_for(ready)


def test_a_patient_listener_hears_what_others_did(store: Store, other: Engine) -> None:
    """On the thread that waits for it. What its own process did it hears as the others, on the thread that did it."""
    own, patient = Queue[str](), Queue[str]()

    def note(heard: Queue[str]) -> Callable[[Wake], None]:
        return lambda wake: heard.put(threading.current_thread().name) if ready(wake) else None

    stop = other.wakeups.listen(note(own), note(patient))
    other.read(other.count_jobs, JobFilter())
    assert patient.get(timeout=10) == "turnspit-wakeups", "told to look at everything, once it hears"
    assert own.empty()
    store.insert()
    assert patient.get(timeout=10) == "turnspit-wakeups"
    assert own.empty()
    other.write(other.insert_job, NEW)
    assert own.get(timeout=10) != "turnspit-wakeups"
    stop()
    other.write(other.insert_job, NEW)
    assert own.empty()


def test_a_listener_that_fails_disturbs_no_other(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def fail(wake: Wake) -> None:
        raise ValueError(f"cannot bear {wake}")

    store.engine.wakeups.listen(fail)
    ear = Ear(store.engine)
    store.insert()
    ear.wait_for(ready)
    assert "listener failed" in caplog.text


def test_the_last_wake_is_never_lost_however_busy_the_listener(store: Store, other: Engine) -> None:
    """Wakes that find no room may be merged with what waits there, but none is dropped for good."""
    store.insert_many(200)
    first, *claims = store.claim(200)
    busy, may_go_on = threading.Event(), threading.Event()
    may_go_on.set()
    heard: Queue[Wake] = Queue()

    def slow(wake: Wake) -> None:
        busy.set()
        may_go_on.wait(20)
        busy.clear()
        heard.put(wake)

    stop = other.wakeups.listen(slow)
    ear = Ear(other)
    ear.drain()
    while not heard.empty():
        heard.get()
    may_go_on.clear()  # a late wake of what was done before may be in there now, and stays
    store.complete(first)
    assert busy.wait(10)
    for claim in claims:
        store.complete(claim)
    store.insert()
    may_go_on.set()
    while heard.get(timeout=10).kind is not WakeKind.READY:
        pass
    stop()


def test_sending_never_waits_for_a_listener(store: Store, other: Engine) -> None:
    store.insert()
    let_go = threading.Event()

    def stuck(wake: Wake) -> None:
        let_go.wait(20)

    stop = other.wakeups.listen(stuck)
    for _ in range(300):
        store.insert()
    let_go.set()
    stop()


def test_a_store_that_was_closed_rings_again(store: Store, other: Engine) -> None:
    store.insert()
    store.engine.close()
    ear = Ear(other)
    ear.drain()
    store.insert()
    ear.wait_for(ready)
