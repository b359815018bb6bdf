"""``turnspit schedules`` and ``turnspit limits``."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from turnspit import Concurrency, Cron, Rate, Turnspit
from turnspit.limits import make_lane
from turnspit.records import LimitedRequest, NewJob, NewWorker

CODE = """
from turnspit import Concurrency, Cron, Every, Queue, Rate, Turnspit

app = Turnspit("sqlite:///store.db", name="shop", queues=[Queue("heavy", concurrency=3)])


@app.task(schedule=Cron("0 9 * * mon", tz="Europe/Berlin"), rate=Rate(10, per=60))
def daily_report() -> None: ...


@app.task
def send_digest(user_id: int) -> None: ...
"""


@pytest.fixture
def app(folder: Path) -> Turnspit:
    """An app whose store knows a declared schedule and a created one."""
    (folder / "planned.py").write_text(CODE)
    scope: dict[str, object] = {}
    exec(compile(CODE, "planned", "exec"), scope)
    app = scope["app"]
    assert isinstance(app, Turnspit)
    app.schedules.synchronise()
    app.schedules.create("digest-7", app.tasks["send_digest"], Cron("0 8 * * *", tz="Asia/Tokyo", args={"user_id": 7}))
    app.close()
    return app


@pytest.mark.usefixtures("app")
def test_schedules_are_listed(cli: Cli) -> None:
    lines = cli("schedules", "list", "planned").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["APP", "SCHEDULE"], ["shop", "daily_report"], ["shop", "digest-7"]]
    assert "0 9 * * mon Europe/Berlin" in lines[1]
    answer = cli("schedules", "list", "sqlite:///store.db", "--json")
    declared, created = json.loads(answer.out)["schedules"]
    assert (declared["name"], declared["is_declared"], declared["next_tick"] is None) == ("daily_report", True, False)
    assert (created["arguments"], created["is_declared"], created["last_job"]) == ({"user_id": 7}, False, None)


@pytest.mark.parametrize("target", ["planned", "sqlite:///store.db"])
def test_a_schedule_is_paused_resumed_and_run(cli: Cli, app: Turnspit, target: str) -> None:
    assert cli("schedules", "pause", target, "daily_report").out == "schedule daily_report is paused\n"
    assert "paused" in cli("schedules", "list", target).out
    resumed = cli("schedules", "resume", target, "daily_report").out
    assert resumed.startswith("schedule daily_report goes on; its next tick is at 2")
    assert cli("schedules", "run", target, "digest-7").out == "job 1 (send_digest) is stored\n"
    assert app.jobs.get(1).task == "send_digest"
    app.close()


@pytest.mark.usefixtures("app")
def test_what_was_created_is_removed_and_what_is_declared_is_not(cli: Cli) -> None:
    assert cli("schedules", "remove", "planned", "digest-7").out == "schedule digest-7 is removed\n"
    answer = cli("schedules", "remove", "planned", "daily_report")
    assert (answer.code, "one that the code declares is removed there, or paused" in answer.err) == (1, True)
    answer = cli("schedules", "remove", "sqlite:///store.db", "digest-7")
    assert (answer.code, "this command needs the app" in answer.err) == (2, True)


@pytest.mark.usefixtures("app")
def test_a_schedule_that_is_not_there(cli: Cli) -> None:
    answer = cli("schedules", "pause", "planned", "other")
    assert (answer.code, answer.err) == (
        1,
        "turnspit: there is no schedule 'other'; there are: daily_report, digest-7\n",
    )


@pytest.mark.usefixtures("app")
def test_a_name_that_two_apps_use(cli: Cli) -> None:
    other = Turnspit("sqlite:///store.db", name="other")

    @other.task(schedule=Cron("@daily"))
    def daily_report() -> None: ...

    other.schedules.synchronise()
    other.close()
    answer = cli("schedules", "run", "sqlite:///store.db", "daily_report")
    assert (answer.code, "several apps have a schedule 'daily_report' (other, shop)" in answer.err) == (2, True)


@pytest.mark.usefixtures("app")
def test_limits_are_listed_changed_and_reset(cli: Cli) -> None:
    assert [line.split() for line in cli("limits", "list", "planned").out.splitlines()] == [
        ["LIMIT", "KIND", "ALLOWED", "SINCE"],
        ["daily_report", "rate", "10", "in", "60", "s", "declared"],
        ["queue", "heavy", "concurrency", "3", "declared"],
    ]
    changed = cli("limits", "set", "planned", "daily_report", "--rate", "2/1s", "--burst", "1")
    assert changed.out == "rate of daily_report is changed for all workers\n"
    assert cli("limits", "set", "planned", "queue heavy", "--concurrency", "7").code == 0
    document = json.loads(cli("limits", "list", "planned", "--json").out)["limits"]
    assert [(each["name"], each["allowed"], each["per"], each["burst"]) for each in document] == [
        ("daily_report", 2, 1.0, 1),
        ("queue heavy", 7, None, None),
    ]
    assert cli("limits", "reset", "sqlite:///store.db", "daily_report").code == 0
    assert cli("limits", "reset", "sqlite:///store.db", "daily_report").code == 1
    assert [each["is_changed"] for each in json.loads(cli("limits", "list", "planned", "--json").out)["limits"]] == [
        False,
        True,
    ]


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "planned", "daily_report"), "one of --rate and --concurrency"),
        (("set", "planned", "daily_report", "--rate", "ten"), "--rate is a number in a time, as 10/1s, not 'ten'"),
        (("set", "planned", "daily_report", "--concurrency", "2"), "declares no concurrency of 'daily_report'"),
        (("set", "planned", "daily_report", "--rate", "0/1s"), "allows a whole number of at least 1"),
        (("reset", "planned", "queue", "heavy"), "put a name of several in quotes"),
    ],
)
def test_what_cannot_be_meant(cli: Cli, words: tuple[str, ...], said: str) -> None:
    answer = cli("limits", *words)
    assert (answer.code, said in answer.err) == (2, True), answer.err


def test_the_keys_that_jobs_wait_for_are_shown_also_for_a_store_s_url(cli: Cli) -> None:
    limits = [("charge", Concurrency(1, key="customer_id")), ("charge", Rate(2, per=3600))]
    with Turnspit("sqlite:///store.db", limits={"api": Rate(1, per=3600)}) as app:
        engine = app.engine
        tasks = frozenset({"charge"})
        worker = engine.write(engine.register_worker, NewWorker("host", 1, "", None, tasks, 10, 60_000_000))
        for customer in (7, 8, 8, 9):
            lane = make_lane("default", "charge", limits, None, {"customer_id": customer})
            engine.write(engine.insert_job, NewJob("charge", "default", "{}", lane=lane))
        engine.write(engine.claim_limited_jobs, LimitedRequest(worker, 10, tasks))
        assert len(app.limits.full_keys()) == 2
        app.limits.acquire("api")
        assert asyncio.run(app.limits.afull_keys()) == app.limits.full_keys()
        assert [(each.name, each.taken) for each in app.limits.full_keys()] == [
            ("api", 1),
            ("charge", 1),
            ("charge", 2),
        ]
    answer = cli("limits", "list", "sqlite:///store.db")
    head, running, begun = (line.split() for line in answer.out.splitlines())
    assert head == ["FULL", "KIND", "KEY", "TAKEN", "ALLOWED", "ROOM", "AGAIN"]
    assert running == ["charge", "concurrency", "[8]", "1", "1", "when", "one", "ends"]
    assert begun[:8] == ["charge", "rate", "2", "2", "in", "60", "min", "in"]
    assert answer.err.splitlines() == [
        "no limit was changed; the app knows the others",
        "FULL: that key of the limit lets none through now",
    ]
    document = json.loads(cli("limits", "list", "sqlite:///store.db", "--json").out)
    first, second = document["full"]
    assert first == {
        "name": "charge",
        "kind": "concurrency",
        "key": "[8]",
        "allowed": 1,
        "taken": 1,
        "per": None,
        "opens_at": None,
    }
    assert (second["taken"], second["per"]) == (2, 3600.0)
    assert datetime.fromisoformat(second["opens_at"]) > datetime.now(UTC)
