"""What needs attention, the worst first: what is wrong, why, and what mends it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import Literal
from urllib.parse import urlencode

from turnspit.alerts import BAD_ERROR_RATE, FEWEST_ATTEMPTS, NOTABLE_ERROR_RATE
from turnspit.clock import to_moment
from turnspit.errors import WorkerDied
from turnspit.records import ScheduleRecord, StandingWorkflow, StoreLock, WorkerRecord
from turnspit.states import JobState
from turnspit.web.models import Attention, Count, DeadGroups, PauseDocument, QueueDocument
from turnspit.web.reading.figures import Tally
from turnspit.web.searching import quote_word
from turnspit.web.wording import count as count_text
from turnspit.web.wording import duration, share

__all__ = ["Scene", "find_attention"]

_SECOND = 1_000_000
_LONG_WAIT = 60.0
"""Seconds that the oldest ready job of a queue may wait."""
_RECENTLY = 3600.0
_LATE_TICK = 60.0
_MOST_BLOCKED = 3
_MOST_GROUPS = 3
_MOST_QUEUES = 5
_MOST_SCHEDULES = 5
_MOST_WORKFLOWS = 3


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is judged."""

    now: int
    app: str
    queues: Sequence[QueueDocument]
    tasks: dict[str, Tally]
    dead: DeadGroups
    workers: Sequence[WorkerRecord]
    schedules: Sequence[ScheduleRecord]
    pauses: Sequence[PauseDocument]
    lock: StoreLock | None = None
    standing: Sequence[StandingWorkflow] = ()
    closed: str | None = None
    """Why the store takes nothing, while it is moved and after."""


def find_attention(scene: Scene) -> list[Attention]:
    """Everything that a person should see to, the worst first; empty when all is well."""
    if scene.closed is not None:  # what else would be said of its jobs is to be done elsewhere
        said = f"{scene.closed[:1].upper()}{scene.closed[1:]}."
        return [Attention(severity="bad", title="This store is closed by turnspit move", detail=said)]
    looks = (_lock, _workers, _queues, _errors, _workflows, _dead, _pauses, _schedules)
    found = [each for look in looks for each in look(scene)]
    return sorted(found, key=lambda each: each.severity != "bad")


def _lock(scene: Scene) -> Iterator[Attention]:
    if scene.lock is not None:
        yield Attention(
            severity="bad",
            title=f"A lock holds the store's work up: {scene.lock.holder}",
            detail=f"{scene.lock.cure[:1].upper()}{scene.lock.cure[1:]}. Workers go on within seconds.",
        )


def _workers(scene: Scene) -> Iterator[Attention]:
    live = [worker for worker in scene.workers if worker.live]
    waiting = sum((queue.ready + queue.held for queue in scene.queues), Count(count=0))
    if waiting and not live:
        yield Attention(
            severity="bad",
            title=f"No worker is running, and {_waiting(waiting)}",
            detail="Nothing is worked off until a worker starts.",
            command="turnspit worker APP",
            link="/workers",
        )
    yield from _blocked(scene)
    lost = [worker for worker in scene.workers if worker.died]
    if lost:
        places = ", ".join(f"{worker.host}:{worker.pid}" for worker in lost[:3])
        some = "A worker" if len(lost) == 1 else f"{len(lost)} workers"
        yield Attention(
            severity="warn",
            title=f"{some} died within the last hour",
            detail=f"{places}{' and others' if len(lost) > 3 else ''} ended or stopped renewing the lease, killed or "
            "cut off. The jobs went back to their queues; look into the logs of that machine (out of memory?).",
            link="/workers",
        )


def _blocked(scene: Scene) -> Iterator[Attention]:
    blocked = [worker for worker in scene.workers if worker.state_at(scene.now) == "blocked"]
    blocked.sort(key=lambda worker: worker.blocked_since or scene.now)
    for worker in blocked[:_MOST_BLOCKED]:
        silent = duration((scene.now - (worker.blocked_since or scene.now)) / _SECOND)
        yield Attention(
            severity="bad",
            title=f"The event loop of the worker {worker.host}:{worker.pid} has been blocked for {silent}",
            detail=f"Nothing begins or ends there, where {_jobs(Count(count=worker.running))} "
            f"{'runs' if worker.running == 1 else 'run'}: it is in {worker.blocked_by}. Stopped, it ends after its "
            "grace time and gives them to others. For good, declare that task with def instead of async def, or await "
            "asyncio.to_thread(...) what blocks.",
            command=f"turnspit workers stop APP {worker.id}",
            link="/workers",
        )
    more = len(blocked) - _MOST_BLOCKED
    if more > 0:
        yield Attention(
            severity="bad",
            title=f"{more} more {'worker has' if more == 1 else 'workers have'} a blocked event loop",
            detail=f"{', '.join(f'{worker.host}:{worker.pid}' for worker in blocked[_MOST_BLOCKED:][:_MOST_QUEUES])}"
            f"{', …' if more > _MOST_QUEUES else ''}.",
            link="/workers",
        )


def _queues(scene: Scene) -> Iterator[Attention]:
    has_workers = any(worker.live for worker in scene.workers)
    open_ = [queue for queue in scene.queues if queue.paused_at is None]
    waiting = [queue for queue in open_ if queue.ready and has_workers]
    unserved = [queue for queue in open_ if has_workers and not queue.workers and _served_by_one(queue)]
    behind = [queue for queue in waiting if queue.workers and (queue.oldest_seconds or 0.0) > _LONG_WAIT]
    unknown = [queue for queue in open_ if queue.unknown]
    yield from _worst(unserved, _unserved, "have no worker", "bad")
    yield from _worst(behind, partial(_behind, scene), "are behind", "warn")
    yield from _worst(unknown, _unknown, "have jobs whose task no live worker knows", "bad")


def _served_by_one(queue: QueueDocument) -> Count:
    """What a worker of this queue would look after: also jobs with a limit, which are held until they begin."""
    limited = queue.held.count - queue.unknown.count
    return queue.ready + Count(count=max(limited, 0), at_least=queue.held.at_least and limited > 0)


def _worst(
    queues: Sequence[QueueDocument],
    tell: Callable[[QueueDocument], Attention],
    what: str,
    severity: Literal["bad", "warn"],
) -> Iterator[Attention]:
    """Those with the most jobs; of the others how many there are, so that two hundred hide nothing else."""
    queues = sorted(queues, key=lambda queue: (queue.ready + queue.held).count, reverse=True)
    shown = len(queues) if len(queues) <= _MOST_QUEUES + 1 else _MOST_QUEUES
    yield from map(tell, queues[:shown])
    others = queues[shown:]
    if others:
        jobs = sum((queue.ready + queue.held for queue in others), Count(count=0))
        names = ", ".join(queue.name for queue in others[:_MOST_QUEUES])
        yield Attention(
            severity=severity,
            title=f"{len(others)} more queues {what}",
            detail=f"{_waiting(jobs)} in {names}{', …' if len(others) > _MOST_QUEUES else ''}.",
            link="/queues",
        )


def _unserved(queue: QueueDocument) -> Attention:
    oldest = f"The oldest waits for {duration(queue.oldest_seconds or 0.0)}. " if queue.ready else ""
    return Attention(
        severity="bad",
        title=f"No worker serves the queue {queue.name}: {_waiting(_served_by_one(queue))}",
        detail=f"{oldest}Start a worker for it, or let one serve all queues.",
        command=f"turnspit worker APP --queues {quote(queue.name)}",
        link=_link(queue),
    )


def _behind(scene: Scene, queue: QueueDocument) -> Attention:
    rate = queue.completed_per_minute
    left = f"that takes {duration(queue.ready.count / rate * 60)} at {rate:.0f} a minute" if rate else "none ended"
    serving = [worker for worker in scene.workers if worker.live and worker.serves(queue.name)]
    is_full = all(worker.running >= worker.concurrency for worker in serving)
    full = " All their slots are taken: look at Workers for jobs that hang there." if is_full else ""
    return Attention(
        severity="warn",
        title=f"The queue {queue.name} is behind by {duration(queue.oldest_seconds or 0.0)}",
        detail=f"{_waiting(queue.ready)} for {queue.workers} live "
        f"{'worker' if queue.workers == 1 else 'workers'}; {left}, as in the last 5 minutes.{full}",
        link=_link(queue),
    )


def _unknown(queue: QueueDocument) -> Attention:
    return Attention(
        severity="bad",
        title=f"No live worker knows the task of {_jobs(queue.unknown)} in the queue {queue.name}",
        detail="They are held until a worker starts that declares it: is a deploy missing, or a name changed?",
        link="/jobs?" + urlencode({"q": f"state:held queue:{quote_word(queue.name)}"}),
    )


def _link(queue: QueueDocument) -> str:
    return "/queue?" + urlencode({"name": queue.name})


def _errors(scene: Scene) -> Iterator[Attention]:
    for task, figures in sorted(scene.tasks.items()):
        failed, completed = sum(figures.failed[-15:]), sum(figures.completed[-15:])
        rate = figures.error_rate
        if rate is not None and rate >= NOTABLE_ERROR_RATE and failed + completed >= FEWEST_ATTEMPTS:
            yield Attention(
                severity="bad" if rate >= BAD_ERROR_RATE else "warn",
                title=f"{share(rate)} of the attempts of {task} fail",
                detail=f"{failed:,} of {failed + completed:,} in the last 15 minutes. Failed attempts are tried again "
                "by the task's retry policy.",
                link="/jobs?" + urlencode({"q": f"state:retrying task:{quote_word(task)}"}),
            )


def _workflows(scene: Scene) -> Iterator[Attention]:
    for flow in scene.standing[:_MOST_WORKFLOWS]:
        ended = "is dead" if flow.state is JobState.DEAD else "was cancelled"
        cure = "Replay the workflow, which lets it go on, or cancel it." if flow.task else "Cancel the workflow."
        yield Attention(
            severity="bad",
            title=f"The workflow {flow.name} ({flow.id}) will not go on by itself",
            detail=f"Job {flow.job} ({flow.task or 'forgotten'}) {ended}, and {_waiting(Count(count=flow.blocked))} "
            f"for it. {cure}",
            link=f"/workflows/{flow.id}",
        )
    others = scene.standing[_MOST_WORKFLOWS:]
    if others:
        names = ", ".join(f"{flow.id} ({flow.name})" for flow in others[:_MOST_QUEUES])
        yield Attention(
            severity="bad",
            title=f"{len(others)} more {'workflow' if len(others) == 1 else 'workflows'} will not go on unaided",
            detail=f"Something of each is dead or was cancelled: {names}{', …' if len(others) > _MOST_QUEUES else ''}.",
            link="/workflows?state=running",
        )


def _dead(scene: Scene) -> Iterator[Attention]:
    recent = [group for group in scene.dead.groups if scene.now - to_moment(group.last_at) < _RECENTLY * _SECOND]
    for group in recent[:_MOST_GROUPS]:
        ago = duration((scene.now - to_moment(group.last_at)) / _SECOND)
        kills = group.error_type == WorkerDied.__name__
        warning = " Replayed as it is, it kills its worker again: mend it first." if kills else ""
        yield Attention(
            severity="warn",
            title=f"{group.task}: {group.error_type}, {count_text(group.count)} dead "
            f"{'letter' if group.count.count == 1 else 'letters'}",
            detail=f"{group.message[:160] or 'No message'}. The newest is {ago} old.{warning}",
            link="/jobs?" + urlencode({"q": f"state:dead group:{quote_word(group.fingerprint)}"}),
            replay=None if kills else group.fingerprint,
        )
    more = Count(
        count=len(recent) - _MOST_GROUPS,
        at_least=len(recent) == len(scene.dead.groups) < scene.dead.all_groups,  # those that were left out are older
    )
    if more.count > 0:
        yield Attention(
            severity="warn",
            title=f"{count_text(more)} more {'group' if more == Count(count=1) else 'groups'} of dead letters "
            "within the last hour",
            detail="They died of other errors than those above.",
            link="/dead",
        )


def _pauses(scene: Scene) -> Iterator[Attention]:
    waiting = {queue.name: queue.ready for queue in scene.queues}
    for pause in scene.pauses:
        since = duration((scene.now - to_moment(pause.since)) / _SECOND)
        count = waiting.get(pause.name, Count(count=0)) if pause.kind == "queue" else Count(count=0)
        yield Attention(
            severity="warn",
            title=f"The {pause.kind} {pause.name} is paused for {since}",
            detail=f"{_waiting(count)} for its end." if count else "None of its jobs starts until it is resumed.",
            link="/queues",
            resume=pause,
        )


def _schedules(scene: Scene) -> Iterator[Attention]:
    known = {task for worker in scene.workers if worker.live for task in worker.tasks}
    before = scene.now - _LATE_TICK * _SECOND
    going = [each for each in scene.schedules if each.paused_at is None]
    late = [each for each in going if each.next_tick is not None and each.next_tick < before]
    for schedule in late[:_MOST_SCHEDULES]:
        yield Attention(
            severity="warn",
            title=f"The schedule {schedule.name} is late by "
            f"{duration((scene.now - (schedule.next_tick or scene.now)) / _SECOND)}",
            detail=f"A live worker knows its task {schedule.task}: look into that worker's log."
            if schedule.task in known
            else f"No live worker of the app {schedule.app} knows its task {schedule.task}.",
            link="/schedules",
        )
    yield from _more_schedules(late, "late")
    paused = [each for each in scene.schedules if each.paused_at is not None]
    for schedule in paused[:_MOST_SCHEDULES]:
        yield Attention(
            severity="warn",
            title=f"The schedule {schedule.name} is paused",
            detail=f"{schedule.task} does not run by itself until it is resumed.",
            link="/schedules",
            resume_schedule=schedule.name if schedule.app == scene.app else None,
        )
    yield from _more_schedules(paused, "paused")


def _more_schedules(schedules: Sequence[ScheduleRecord], what: str) -> Iterator[Attention]:
    """How many more there are than are named: an app may have one for each of its users."""
    others = schedules[_MOST_SCHEDULES:]
    if others:
        yield Attention(
            severity="warn",
            title=f"{len(others):,} more {'schedule is' if len(others) == 1 else 'schedules are'} {what}",
            detail=f"{', '.join(each.name for each in others[:_MOST_SCHEDULES])}"
            f"{', …' if len(others) > _MOST_SCHEDULES else ''}.",
            link="/schedules",
        )


def _waiting(count: Count) -> str:
    return f"{_jobs(count)} {'waits' if count.count == 1 else 'wait'}"


def _jobs(count: Count) -> str:
    return f"{count_text(count)} {'job' if count.count == 1 else 'jobs'}"
