"""What of an alert's rule is so, and how loaded queues are."""

from dataclasses import replace
from functools import partial

import pytest

from turnspit import Alert, ConfigurationError, Turnspit
from turnspit.alerts import AlertFunction, AlertRule, Found, Sight, find_alerts, make_rule
from turnspit.loads import queue_loads
from turnspit.records import (
    CounterRecord,
    PauseRecord,
    QueueCounts,
    QueueLoad,
    StoreCounts,
    UnknownTask,
    WorkerRecord,
)

SECOND = 1_000_000
NOW = 30_000_000 * 60 * SECOND
MINUTE = NOW // (60 * SECOND)


def page(alert: Alert) -> None: ...
def silent() -> None: ...


def rule(**options: object) -> AlertRule:
    given = dict.fromkeys(("oldest", "error_rate", "dead", "no_worker", "blocked", "queue", "task"))
    return make_rule(page, **(given | {"repeat": 3600} | options))  # type: ignore[arg-type]


def worker(queues: tuple[str, ...] | None = None, tasks: tuple[str, ...] = ("send",)) -> WorkerRecord:
    return WorkerRecord(1, "box", 1, "1", queues, tasks, 10, NOW, NOW, NOW + SECOND, None, True, 0)


def queue(name: str, *, ready: int = 0, waited: float | None = None) -> QueueCounts:
    return QueueCounts(name, ready=ready, oldest_ready_at=None if waited is None else NOW - int(waited * SECOND))


def counted(task: str, outcome: str, count: int) -> CounterRecord:
    return CounterRecord(MINUTE, "mail", task, outcome, count, 0)


NOTHING = Sight(StoreCounts((), frozenset(), NOW), (), (), (), (), ())


def sight(*queues: QueueCounts, **more: object) -> Sight:
    return NOTHING._replace(counts=StoreCounts(queues, frozenset(), NOW), **more)  # type: ignore[arg-type]


def subjects(rule: AlertRule, sight: Sight) -> list[tuple[str, str]]:
    return [(found.kind, found.subject) for found in find_alerts(rule, sight)]


def test_the_oldest() -> None:
    seen = sight(queue("mail", ready=3, waited=61), queue("fresh", ready=1, waited=60), queue("empty"))
    [found] = find_alerts(rule(oldest=60), seen)
    said = "the oldest ready job of queue mail has been due for 61 s (more than 60 s): are there workers enough for it?"
    assert found == Found("oldest", "queue mail", 61, said)
    assert subjects(rule(oldest=60), seen._replace(pauses=[PauseRecord("queue", "mail", NOW)])) == []
    assert subjects(rule(oldest=60, queue="fresh"), seen) == []
    assert subjects(rule(oldest=60, queue="mail"), seen) == [("oldest", "queue mail")]
    assert subjects(rule(oldest=60, task="send"), seen) == []


def test_the_error_rate() -> None:
    errors = [
        counted("send", "completed", 6),
        counted("send", "failed", 3),
        counted("send", "dead", 1),
        counted("send", "snoozed", 100),
        counted("few", "failed", 9),
        counted("fine", "completed", 99),
        counted("fine", "crashed", 1),
    ]
    [found] = find_alerts(rule(error_rate=0.3), sight(errors=errors))
    assert (found.subject, found.value) == ("task send", 0.4)
    assert found.text == (
        "4 of 10 attempts of task send failed within 10 minutes (40%): see turnspit jobs list --task send"
    )
    assert subjects(rule(error_rate=0.4), sight(errors=errors)) == []
    [found] = find_alerts(rule(error_rate=0.3), sight(errors=[counted("x; rm -r ~", "failed", 10)]))
    assert found.text.endswith("see turnspit jobs list --task 'x; rm -r ~'"), "it is copied into a shell"
    assert subjects(rule(error_rate=0.3, task="fine"), sight(errors=errors)) == []


def test_dead_letters() -> None:
    ends = [counted("send", "dead", 2), counted("send", "dead", 1), counted("other", "dead", 2)]
    assert subjects(rule(dead=3), sight(ends=ends)) == [("dead", "task send")]
    assert subjects(rule(dead=1), sight(ends=ends)) == [("dead", "task send"), ("dead", "task other")]


def test_no_worker_for_a_queue_or_a_task() -> None:
    waiting = sight(queue("mail", ready=1, waited=90), unknown=[UnknownTask("audit", NOW - 90 * SECOND)])
    assert subjects(rule(no_worker=60), waiting) == [("no_worker", "queue mail"), ("no_worker", "task audit")]
    assert subjects(rule(no_worker=100), waiting) == []
    assert subjects(rule(no_worker=60), waiting._replace(workers=[worker(("other",))])) == [
        ("no_worker", "queue mail"),
        ("no_worker", "task audit"),
    ]
    assert subjects(rule(no_worker=60), waiting._replace(workers=[worker()])) == [("no_worker", "task audit")]
    known = [worker(("mail",), ("audit",)), replace(worker(), live=False)]
    assert subjects(rule(no_worker=60), waiting._replace(workers=known)) == []


def test_a_blocked_event_loop() -> None:
    stuck = replace(worker(("mail",)), blocked_since=NOW - 61 * SECOND, blocked_by="job 7 (send) in app.py, line 3")
    seen = sight(workers=[stuck, worker(), replace(stuck, live=False)])
    [found] = find_alerts(rule(blocked=60), seen)
    said = (
        "the event loop of worker box:1#1 has been blocked for 61 s by job 7 (send) in app.py, line 3: "
        "turnspit workers stop 1 ends it after its grace time"
    )
    assert found == Found("blocked", "worker box:1#1", 61, said)
    assert subjects(rule(blocked=61), seen) == []
    for narrowed, count in (({"queue": "mail"}, 1), ({"queue": "x"}, 0), ({"task": "send"}, 1), ({"task": "x"}, 0)):
        assert len(subjects(rule(blocked=60, **narrowed), seen)) == count, narrowed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "alert.. needs something to look for"),
        ({"error_rate": 1.5}, "error_rate is a share of attempts"),
        ({"dead": 0}, "dead is a number of dead letters, at least 1"),
        ({"oldest": "soon"}, "oldest"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Turnspit("sqlite:///:none:").alert(**options)(page)  # type: ignore[arg-type]


def test_a_function_that_takes_no_alert_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"an alert's function takes the alert, as in def silent\(alert\)"):
        Turnspit("sqlite:///none.db").alert(dead=1)(silent)  # type: ignore[type-var]


def test_functions_of_one_name_and_those_without_are_told_apart() -> None:
    def made(channel: list[Alert]) -> AlertFunction:
        def tell(alert: Alert) -> None:
            channel.append(alert)

        return tell

    app = Turnspit("sqlite:///none.db")
    for function in (made([]), made([]), partial(page), partial(page)):
        app.alert(dead=1)(function)
    assert len({each.name for each in app.alert_rules}) == 4
    assert [each.name for each in app.alert_rules[2:]] == ["functools.partial", "functools.partial-2"]


def test_two_rules_of_one_function_are_told_apart() -> None:
    app = Turnspit("sqlite:///none.db")
    app.alert(dead=1)(app.alert(oldest=60)(page))
    assert [each.name for each in app.alert_rules] == ["tests.unit.test_alerts.page", "tests.unit.test_alerts.page-2"]


def test_how_loaded_queues_are() -> None:
    counts = StoreCounts((queue("mail", ready=60, waited=8), queue("stuck", ready=5, waited=30)), frozenset(), NOW)
    counters = [
        CounterRecord(MINUTE - 2, "mail", "send", "completed", 100, 0),
        CounterRecord(MINUTE - 1, "mail", "send", "failed", 20, 0),
        CounterRecord(MINUTE - 1, "idle", "send", "completed", 6, 0),
    ]
    assert queue_loads(counts, counters, [worker(("mail",)), worker(), replace(worker(), live=False)]) == [
        QueueLoad("idle", ready=0, running=0, slots=10, oldest=0.0, throughput=0.1, latency=0.0),
        QueueLoad("mail", ready=60, running=0, slots=20, oldest=8.0, throughput=1.0, latency=60.0),
        QueueLoad("stuck", ready=5, running=0, slots=10, oldest=30.0, throughput=0.0, latency=30.0),
    ]
