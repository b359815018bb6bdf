"""When ticks come: cron, its mistakes, daylight saving time, intervals."""

import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from turnspit import ConfigurationError, Cron, Every, JobContext, Turnspit, Unique
from turnspit._runtime.maintenance.scheduler import declared_schedules
from turnspit.clock import from_moment, to_moment
from turnspit.schedules import check_rules, load_rule


def ticks(rule: Cron | Every, after: datetime, count: int) -> list[str]:
    found, moment = [], to_moment(after)
    for _ in range(count):
        tick = rule.next_tick(moment)
        assert tick is not None
        assert tick > moment
        moment = tick
        found.append(f"{from_moment(tick):%m-%d %H:%M:%S}")
    return found


NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * *", ["01-01 09:00:00", "01-02 09:00:00"]),
        ("*/20 * * * *", ["01-01 00:20:00", "01-01 00:40:00"]),
        ("*/20 * * * * *", ["01-01 00:00:20", "01-01 00:00:40"]),
        ("0 9 * * mon-fri", ["01-01 09:00:00", "01-02 09:00:00"]),
        ("0 0 1 feb,MAR *", ["02-01 00:00:00", "03-01 00:00:00"]),
        ("0 0 l * *", ["01-31 00:00:00", "02-28 00:00:00"]),
        ("@daily", ["01-02 00:00:00", "01-03 00:00:00"]),
        ("@hourly", ["01-01 01:00:00", "01-01 02:00:00"]),
        ("@weekly", ["01-06 00:00:00", "01-13 00:00:00"]),
    ],
)
def test_cron(expression: str, expected: list[str]) -> None:
    assert ticks(Cron(expression), NEW_YEAR, 2) == expected


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("61 * * * *", "'61' at position 1 is no minute"),
        ("0 25 * * *", "'25' at position 3 is no hour"),
        ("0  9 * * fry", "'fry' at position 10 is no day of the week"),
        ("0 0 9 * 13 *", "'13' at position 9 is no month"),
        ("0 9 1,32 * *", "'1,32' at position 5 is no day of the month"),
        ("0 9 * *", "has 4 fields"),
        ("@dayly", "has 1 fields"),
        ("0 0 30 2 *", "never comes"),
        (9, "is a text"),
    ],
)
def test_a_wrong_cron_is_refused_with_the_place_of_the_mistake(wrong: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Cron(wrong)


@pytest.mark.parametrize("zone", ["Europe/Berlim", "", "../etc/passwd", None])
def test_a_wrong_zone_is_refused(zone: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"tz is the name of a time zone"):
        Cron("@daily", tz=zone)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Every(),
        lambda: Every(seconds=0.5),
        lambda: Every(minutes=-5),
        lambda: Every(minutes="5"),  # type: ignore[arg-type]
        lambda: Every(minutes=5, missed="never"),  # type: ignore[arg-type]
        lambda: Every(minutes=5, overlap="never"),  # type: ignore[arg-type]
        lambda: Every(minutes=5, args=[1]),  # type: ignore[arg-type]
        lambda: check_rules("@daily"),
    ],
)
def test_wrong_rules_are_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        # Berlin, 31 March 2030: 2:00 to 3:00 (1:00 UTC) does not exist. What falls into it runs when it is over.
        ("30 2 * * *", (2030, 3, 30, 2), ["03-31 01:00:00", "04-01 00:30:00"]),
        # What runs every so often goes on as the clock on the wall does.
        ("*/30 * * * *", (2030, 3, 31, 0, 30), ["03-31 01:00:00", "03-31 01:30:00"]),
        # 27 October 2030: 2:00 to 3:00 comes twice (0:00 and 1:00 UTC). A fixed time runs once, the first time.
        ("30 2 * * *", (2030, 10, 26, 12), ["10-27 00:30:00", "10-28 01:30:00"]),
        # What runs every so often runs through both.
        ("*/30 * * * *", (2030, 10, 27, 0), ["10-27 00:30:00", "10-27 01:00:00", "10-27 01:30:00", "10-27 02:00:00"]),
    ],
)
def test_daylight_saving_time(expression: str, after: tuple[int, ...], expected: list[str]) -> None:
    rule = Cron(expression, tz="Europe/Berlin")
    assert ticks(rule, datetime(*after, tzinfo=UTC), len(expected)) == expected  # type: ignore[arg-type,misc]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"])
@pytest.mark.parametrize(
    "expression", ["30 2 * * *", "0 */2 * * *", "*/30 * * * *", "0 30 2 * * *", "15 0,1,2,3 * * *"]
)
def test_ticks_only_grow_wherever_one_looks_from(zone: str, expression: str) -> None:
    rule = Cron(expression, tz=zone)
    for begin in (datetime(2030, 3, 30, tzinfo=UTC), datetime(2030, 10, 26, tzinfo=UTC)):
        moment = to_moment(begin)
        last = 0
        for _ in range(90):
            tick = rule.next_tick(moment)
            assert tick is not None
            assert tick > moment
            assert tick >= last, "looking later finds nothing earlier"
            last, moment = tick, moment + 37 * 60 * 1_000_000


def test_every_is_aligned_or_counts_from_its_start() -> None:
    at = to_moment(datetime(2030, 1, 1, 9, 3, tzinfo=UTC))
    five = 300 * 1_000_000
    assert Every(minutes=5).next_tick(at) == at + 2 * 60 * 1_000_000
    assert Every(minutes=5, aligned=False).next_tick(at, at) == at + five
    assert Every(minutes=5, aligned=False).next_tick(at + five, at) == at + 2 * five


@pytest.mark.parametrize("rule", [Cron("0 9 * * *", "Europe/Berlin"), Every(minutes=5), Every(hours=1, aligned=False)])
def test_a_stored_rule_comes_back(rule: Cron | Every) -> None:
    assert load_rule(rule.dump()) == rule


@pytest.mark.parametrize("text", ["{}", "no", '{"moon": "full"}', '{"cron": "0 9 * * *", "tz": "Mars/Base"}', "[]"])
def test_a_rule_of_another_release_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError):
        load_rule(text)


def test_arguments_are_checked_when_the_task_is_declared(app: Turnspit) -> None:
    with pytest.raises(ConfigurationError, match=r"schedule every 5 min of report.*region.*args="):

        @app.task(schedule=Every(minutes=5))
        def report(region: str) -> None: ...


def test_a_job_of_no_schedule_has_no_tick() -> None:
    assert JobContext.detached().tick is None


def test_how_rules_read() -> None:
    assert str(Cron("@daily")) == "@daily UTC"
    assert str(Every(minutes=5)) == "every 5 min"
    assert str(Every(days=1, hours=1, seconds=1.5)) == "every 1 d 1 h 1 s 500 ms"


def test_two_schedules_of_one_name_are_refused() -> None:
    app = Turnspit("sqlite:///nowhere.db")
    app.task(name="report", schedule=[Every(hours=1), Every(hours=2)])(nothing)
    app.task(name="report-3", schedule=Every(hours=1))(the_third)
    with pytest.raises(ConfigurationError, match="tasks report and report-2 both have a schedule named 'report-2'"):
        app.task(name="report-2", schedule=Every(hours=1))(another)
    assert [new.name for new in declared_schedules(app.tasks, app.engine.check_new)[0]] == [
        "report",
        "report-2",
        "report-3",
    ]


def test_a_schedule_whose_job_cannot_be_made_is_named_and_keeps_back_no_other() -> None:
    app = Turnspit("sqlite:///nowhere.db")

    def key() -> str:
        sys.exit("no such region")

    app.task(name="report", schedule=[Every(hours=1), Every(hours=2)], unique=Unique(key=key))(nothing)
    app.task(name="other", schedule=Every(hours=1))(another)
    made, unmade = declared_schedules(app.tasks, app.engine.check_new)
    assert [new.name for new in made] == ["other"]
    assert list(unmade) == ["report", "report-2"]
    assert "schedule report-2 (every 2 h) of task report cannot be stored" in str(unmade["report-2"])
    assert "SystemExit: no such region" in str(unmade["report-2"])


def nothing() -> None: ...
def the_third() -> None: ...
def another() -> None: ...
