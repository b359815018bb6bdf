"""What ``turnspit doctor`` finds about workers, and about the tasks, queues and schedules that they serve."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import NamedTuple

from turnspit.cli.launching import program
from turnspit.cli.output import count_of, describe_duration, when
from turnspit.loads import seconds_since
from turnspit.records import JobRecord, PauseRecord, QueueRecord, ScheduleRecord, TaskStats, WorkerRecord

__all__ = [
    "Finding",
    "examine",
    "examine_blocked",
    "examine_late",
    "examine_progress",
    "examine_schedules",
    "examine_time_outs",
    "some",
]

_SECOND = 1_000_000
_SHOWN = 5
_LATE = 60.0
_PILE = 20
"""So many jobs of a task wait if the ticks of its schedule pile up."""
"""Seconds after which a tick that has not come, or a worker that begins nothing, is notable."""
_STANDSTILL = 300.0
"""Seconds after which a worker that begins nothing is a fault. Not earlier: tasks may well run for minutes."""


class Finding(NamedTuple):
    """Something that was looked at, as ``engine.diagnose`` gives it."""

    subject: str
    ok: bool
    detail: str
    is_notable: bool = False
    """Whether it is worth a look although it is no fault."""

    @property
    def level(self) -> str:
        """``fault``, ``notable`` or ``well``."""
        return "fault" if not self.ok else "notable" if self.is_notable else "well"


def examine(
    tasks: Sequence[TaskStats],
    queues: Sequence[QueueRecord],
    workers: Sequence[WorkerRecord],
    hint: str = "",
    pauses: Sequence[PauseRecord] = (),
) -> Iterator[Finding]:
    """The findings.

    :param hint: what a suggested command needs to find the same store: nothing, or its name and a space.
    """
    live = [worker for worker in workers if worker.live]
    serving = [worker for worker in live if worker.takes_jobs]
    waiting = sum(task.ready + task.scheduled + task.held for task in tasks)
    yield _workers(live, serving, waiting, hint)
    yield from _lost_workers(workers, live)
    yield from _versions(live)
    if serving:
        yield from _unknown_tasks(tasks, serving, hint)
        yield from _unserved_queues(queues, serving)
    yield from _paused(pauses, queues, hint)


def examine_late(workers: Sequence[WorkerRecord], now: int) -> Iterator[Finding]:
    """Workers that miss heartbeats while their lease still runs: until it expires, nothing else shows that.

    :param now: the store's time.
    """
    for worker in workers:
        if worker.state_at(now) == "late":
            silent = describe_duration(seconds_since(worker.renewed_at, now))
            left = describe_duration(max(0.0, (worker.expires_at - now) / _SECOND))
            said = (
                f"{worker.name} has not renewed its lease for {silent}: was it killed or stopped, or is the store away "
                f"from it? In {left} others may take its {count_of(worker.running, 'job')}"
            )
            yield Finding("lost worker", True, said, is_notable=True)


def examine_blocked(
    workers: Sequence[WorkerRecord], running: Sequence[JobRecord], now: int, hint: str = ""
) -> Iterator[Finding]:
    """Workers whose event loop is blocked: they look alive, and none of their jobs goes on.

    :param running: as many running jobs as are looked at.
    :param now: the store's time.
    """
    blocked = [worker for worker in workers if worker.state_at(now) == "blocked"]
    if not blocked:
        return
    blocked.sort(key=lambda worker: worker.blocked_since or now)
    worker, *others = blocked
    tasks = Counter(job.task for job in running if job.worker == worker.name)
    named = f" ({some(f'{count:,} {task}' for task, count in tasks.most_common())})" if tasks else ""
    held = f", and with it its {count_of(worker.running, 'job')}{named}" if worker.running else ""
    also = some(f"{each.name} by {each.blocked_by}" for each in others)
    silent = describe_duration(seconds_since(worker.blocked_since, now))
    yield Finding(
        "event loop",
        False,
        f"{worker.name} has begun and ended nothing for {silent}: its event loop is blocked by {worker.blocked_by}"
        f"{held}; {program()} workers stop {hint}{worker.id} ends it after its grace time, and gives its jobs to "
        "others; for good, declare that task with def instead of async def, or await asyncio.to_thread(...) what "
        "blocks" + (f"; blocked too: {also}" if also else ""),
    )


def examine_progress(
    running: Sequence[JobRecord],
    queues: Sequence[QueueRecord],
    workers: Sequence[WorkerRecord],
    pauses: Sequence[PauseRecord],
    now: int,
    hint: str = "",
) -> Iterator[Finding]:
    """Workers whose slots are full of jobs that began long ago, while others wait for them.

    :param running: as many running jobs as are looked at.
    :param now: the store's time.
    """
    paused = {pause.name for pause in pauses if pause.kind == "queue"}
    late = [
        queue for queue in queues if queue.queue not in paused and seconds_since(queue.oldest_ready_at, now) > _LATE
    ]
    for worker in workers:
        jobs = sorted((job for job in running if job.worker == worker.name), key=lambda job: job.started_at or now)
        waiting = {queue.queue: queue.ready for queue in late if worker.serves(queue.queue)}
        idle = seconds_since(jobs[-1].started_at, now) if jobs else 0.0
        is_full = worker.live and len(jobs) >= worker.concurrency
        if not (is_full and waiting and idle > _LATE) or worker.state_at(now) == "blocked":
            continue
        longest = jobs[0]
        runs_for = describe_duration(seconds_since(longest.started_at, now))
        yield Finding(
            "progress",
            idle < _STANDSTILL,
            f"{worker.name} has begun no job for {describe_duration(idle)}: its {count_of(worker.concurrency, 'slot')} "
            f"run {count_of(len(jobs), 'job')}, {longest.id} ({longest.task}) for "
            f"{runs_for}, while others wait in {_counted(waiting, 'ready')}: "
            f"see {program()} jobs show {hint}{longest.id}; start another worker, or {program()} queues pause {hint}"
            f"--task {quote(longest.task)}, so that they do not hang in the next one too, and {program()} workers stop "
            f"{hint}{worker.id}",
            is_notable=True,
        )


def examine_time_outs(
    running: Sequence[JobRecord],
    time_outs: Mapping[str, int],
    workers: Sequence[WorkerRecord],
    now: int,
    hint: str = "",
) -> Iterator[Finding]:
    """Jobs that were told to stop at their time-out and run on: each keeps a slot until its process ends.

    :param running: as many running jobs as are looked at.
    :param time_outs: microseconds, of the tasks whose code is known.
    :param now: the store's time.
    """
    live = {worker.name: worker for worker in workers if worker.live}
    late = []
    for job in running:
        limit = job.timeout or time_outs.get(job.task)
        if limit is not None and job.worker in live and seconds_since(job.started_at, now) > limit / _SECOND + _LATE:
            late.append((seconds_since(job.started_at, now), job, limit / _SECOND, live[job.worker]))
    if not late:
        return
    late.sort(key=lambda each: -each[0])
    named = some(
        f"{job.id} ({job.task}) for {describe_duration(age)} of {describe_duration(limit)}"
        for age, job, limit, _ in late
    )
    _, job, _, worker = late[0]
    yield Finding(
        "time-outs",
        False,
        f"{count_of(len(late), 'job')} over their time-out did not stop, and keep their slots: {named}; "
        f"{program()} jobs show {hint}{job.id} has where it hangs, and {program()} workers stop {hint}{worker.id} ends "
        "its process",
    )


def examine_schedules(
    schedules: Sequence[ScheduleRecord],
    workers: Sequence[WorkerRecord],
    now: int,
    tasks: Sequence[TaskStats] = (),
    hint: str = "",
) -> Iterator[Finding]:
    """Schedules whose tick is due and has not come, and those whose ticks come faster than their jobs end.

    :param now: the store's time.
    """
    known = {name for worker in workers if worker.live for name in worker.tasks}
    has_workers = any(worker.live for worker in workers)  # else that is what is wrong
    late = [each for each in schedules if each.paused_at is None and seconds_since(each.next_tick, now) > _LATE]
    for is_known, cure in (
        (True, "a live worker knows its task: look into that worker's log"),
        (False, "no live worker knows its task: start one whose code declares it, or remove the schedule"),
    ):
        found = [each for each in late if (each.task in known) is is_known and has_workers]
        if found:
            named = some(
                f"{each.name} of {each.app} ({each.task}) since {describe_duration(seconds_since(each.next_tick, now))}"
                for each in found
            )
            yield Finding("schedules", False, f"due and not run: {named}; {cure}")
    paused = [each.name for each in schedules if each.paused_at is not None]
    if paused:
        yield Finding("schedules", True, f"paused: {some(paused)}", is_notable=True)
    if has_workers:
        yield from _piling(schedules, tasks, now, hint)


def _piling(schedules: Sequence[ScheduleRecord], tasks: Sequence[TaskStats], now: int, hint: str) -> Iterator[Finding]:
    late = {task.task for task in tasks if task.ready >= _PILE and seconds_since(task.oldest_ready_at, now) > _LATE}
    found = [each for each in schedules if each.task in late and each.paused_at is None and each.overlap == "allow"]
    if found:
        pause = f"{program()} schedules pause {hint}{quote(found[0].name)}"
        named = some(f"{each.name} ({each.task})" for each in found)
        yield Finding(
            "schedules",
            True,
            f"fired while many jobs of the same task wait: {named}; if these are its own, {pause}, and for good "
            'overlap="skip"',
            is_notable=True,
        )


def _workers(live: Sequence[WorkerRecord], serving: Sequence[WorkerRecord], waiting: int, hint: str) -> Finding:
    start = f"{program()} worker {_worker_of(hint)}".rstrip()
    cure = f"with {count_of(waiting, 'job')} waiting: start {start}"
    if waiting and live and not serving:
        asked = some(f"{worker.name} ({worker.asked_to})" for worker in live)
        return Finding("workers", False, f"each was asked to end and takes no more jobs, {cure}; {asked}")
    if live:
        described = (f"{w.name} ({some(w.queues) if w.queues else 'all queues'})" for w in live)
        return Finding("workers", True, f"{len(live)} live: {some(described)}")
    if waiting:
        return Finding("workers", False, f"none is alive, {cure}")
    return Finding("workers", True, "none is alive, and no job waits for one")


def _lost_workers(workers: Sequence[WorkerRecord], live: Sequence[WorkerRecord]) -> Iterator[Finding]:
    silent = [worker for worker in workers if not worker.live and worker.stopped_at is None]
    for worker in silent:
        cure = "the others take its jobs back" if live else "start a worker, which takes its jobs back"
        running = count_of(worker.running, "job")
        said = f"{worker.name} stopped renewing its lease {when(worker.renewed_at)} with {running} running: {cure}"
        yield Finding("lost worker", False, said)
    died = [worker for worker in workers if worker.died]
    if died:
        names = some(f"{worker.name} {when(worker.stopped_at)}" for worker in died)
        said = f"{len(died)} died within the last hour, their jobs were rescued: {names}"
        yield Finding("lost worker", True, said, is_notable=True)


def _versions(live: Sequence[WorkerRecord]) -> Iterator[Finding]:
    versions = Counter(worker.version for worker in live)
    if len(versions) > 1:
        named = ", ".join(f"{version} ({count_of(count, 'worker')})" for version, count in sorted(versions.items()))
        yield Finding("versions", True, f"several releases work at once: {named}; that is fine while you deploy")


def _unknown_tasks(tasks: Sequence[TaskStats], serving: Sequence[WorkerRecord], hint: str) -> Iterator[Finding]:
    known = {name for worker in serving for name in worker.tasks}
    waiting = {task.task: task.ready + task.scheduled + task.held for task in tasks if task.task not in known}
    unknown = {name: count for name, count in waiting.items() if count}
    if not unknown:
        yield Finding("tasks", True, "a live worker knows the task of every waiting job")
        return
    named, one = _counted(unknown, "waiting"), min(unknown)
    yield Finding(
        "tasks",
        False,
        f"no live worker knows {named}: start a worker whose code declares "
        f"{'it' if len(unknown) == 1 else 'them'} (a renamed task keeps its old name in aliases=), "
        f"or {program()} jobs cancel {hint}--task {quote(one) if len(unknown) == 1 else 'NAME'}",
    )


def _unserved_queues(queues: Sequence[QueueRecord], serving: Sequence[WorkerRecord]) -> Iterator[Finding]:
    if any(worker.queues is None for worker in serving):
        return
    served = {name for worker in serving for name in worker.queues or ()}
    waiting = {queue.queue: queue.ready + queue.held for queue in queues if queue.queue not in served}
    unserved = {name: count for name, count in waiting.items() if count}
    if unserved:
        named, first = _counted(unserved, "waiting"), ",".join(_largest(unserved))
        yield Finding("queues", False, f"no live worker serves {named}: start one with --queues {quote(first)}")


def _paused(pauses: Sequence[PauseRecord], queues: Sequence[QueueRecord], hint: str) -> Iterator[Finding]:
    if not pauses:
        return
    ready = {("queue", queue.queue): f" ({count_of(queue.ready, 'job')} ready)" for queue in queues if queue.ready}
    named = some(
        f"{pause.kind} {pause.name} since {when(pause.paused_at)}{ready.get((pause.kind, pause.name), '')}"
        for pause in pauses
    )
    resume = f"{program()} queues resume {hint}--{pauses[0].kind} {quote(pauses[0].name)}"
    yield Finding("paused", False, f"{named}: {'its' if len(pauses) == 1 else 'their'} jobs wait for {resume}")


def _counted(waiting: Mapping[str, int], state: str) -> str:
    """The names with the most jobs and their counts, short enough for a line."""
    if len(waiting) == 1:
        [(name, count)] = waiting.items()
        return f"{name}, with {count_of(count, 'job')} {state}"
    shown = _largest(waiting)
    named = ", ".join(f"{name} ({waiting[name]:,})" for name in shown)
    more = f" and {len(waiting) - len(shown):,} more" if len(waiting) > len(shown) else ""
    return f"{named}{more}, with {count_of(sum(waiting.values()), 'job')} {state}"


def _largest(waiting: Mapping[str, int]) -> list[str]:
    return sorted(waiting, key=lambda name: (-waiting[name], name))[:_SHOWN]


def some(names: Iterable[str]) -> str:
    """The first few of them, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _worker_of(hint: str) -> str:
    """The app for a suggested ``turnspit worker``: unlike other commands, it cannot take a store's URL."""
    if not hint and "TURNSPIT_APP" in os.environ:
        return ""
    return hint.strip() if hint and "://" not in hint else "APP"
