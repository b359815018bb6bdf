"""``turnspit schedules``: recurring jobs, and what a person does with them."""

from turnspit.cli.documents import schedule_document
from turnspit.cli.errors import Failed, WrongUsage
from turnspit.cli.loading import Target, find_app, find_store
from turnspit.cli.options import AppAndName, AsJson, StoreAndName, StoreArgument, split_name
from turnspit.cli.output import absolute, line, new_table, note, plain, print_json, print_table, when
from turnspit.operations import Schedule

__all__ = ["EXAMPLES", "HELP", "list_", "pause", "remove", "resume", "run"]

HELP = "Look at schedules, and pause, resume, run or remove them."
EXAMPLES = {
    "list": ("turnspit schedules list shop.jobs:app",),
    "pause": ("turnspit schedules pause shop.jobs:app daily_report",),
    "resume": ("turnspit schedules resume shop.jobs:app daily_report",),
    "run": ("turnspit schedules run shop.jobs:app daily_report",),
    "remove": ("turnspit schedules remove shop.jobs:app digest-7",),
}


def list_(app: StoreArgument = None, as_json: AsJson = False) -> None:
    """Show the schedules of every app on the store: their rules, their next and last tick."""
    target = find_store(app)
    found = target.app.schedules.list(all=True)
    if as_json:
        print_json({"schedules": [schedule_document(schedule) for schedule in found]})
        return
    if not found:
        note(f"no schedules at {target.app.engine.location}; a worker stores what its code declares when it starts")
        return
    table = new_table(["APP", ("SCHEDULE", {"max_width": 30}), "NEXT", "LAST", ("RULE", {"ratio": 1})])
    table.expand = True
    for schedule in found:
        following = "paused" if schedule.is_paused else when(schedule.next_tick)
        app_name, name, rule = map(plain, (schedule.app, schedule.name, schedule.rule))
        table.add_row(app_name, name, following, when(schedule.last_tick), rule)
    print_table(table)


def pause(words: StoreAndName) -> None:
    """Pause a schedule: no tick comes until it is resumed."""
    target, schedule = _find(words)
    engine = target.app.engine
    engine.write(engine.pause_schedule, schedule.app, schedule.name)
    line(f"schedule {plain(schedule.name)} is paused")


def resume(words: StoreAndName) -> None:
    """Resume a schedule's ticks from now on; those during the pause do not count as missed."""
    target, schedule = _find(words)
    engine = target.app.engine
    engine.write(engine.resume_schedule, schedule.app, schedule.name)
    _, schedule = _find(words)
    line(f"schedule {plain(schedule.name)} goes on; its next tick is at {absolute(schedule.next_tick)}")


def run(words: StoreAndName) -> None:
    """Enqueue the schedule's job now, in addition to its ticks; also while it is paused."""
    target, schedule = _find(words)
    engine = target.app.engine
    job = engine.write(engine.run_schedule, schedule.app, schedule.name)
    line(f"job {job} ({plain(schedule.task)}) is stored")


def remove(words: AppAndName) -> None:
    """Remove a schedule that was created at run time, or whose task the app no longer has; its jobs stay."""
    typed, name = split_name(words, "schedule")
    find_app(typed).app.schedules.remove(name)  # only the code knows what it declares
    line(f"schedule {plain(name)} is removed")


def _find(words: list[str]) -> tuple[Target, Schedule]:
    """The app's schedule of this name, or the only one where a store was named."""
    typed, name = split_name(words, "schedule")
    target = find_store(typed)
    known = target.app.schedules.list(all=not target.has_code)
    found = [schedule for schedule in known if schedule.name == name]
    if not found:
        names = ", ".join(schedule.name for schedule in known) or "none"
        raise Failed(f"there is no schedule {name!r}; there are: {names}")
    if len(found) > 1:
        apps = ", ".join(schedule.app for schedule in found)
        raise WrongUsage(f"several apps have a schedule {name!r} ({apps}): name the app instead of its store")
    return target, found[0]
