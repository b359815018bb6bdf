"""What of an alert's rule is so, and how loaded queues are."""

from dataclasses import replace

import pytest

from turnspit import Alert, ConfigurationError, Turnspit
from turnspit.alerts import AlertRule, Found, Sight, find_alerts, make_rule
from turnspit.loads import queue_loads
from turnspit.records import (
    CounterRecord,
    Pause,
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


def rule(**options: object) -> AlertRule:
    given = {"oldest": None, "error_rate": None, "dead": None, "no_worker": None, "queue": None, "task": None}
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
    assert subjects(rule(oldest=60), seen._replace(pauses=[Pause("queue", "mail", NOW)])) == []
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
