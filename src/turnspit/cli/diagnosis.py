"""What the jobs and the workers of a store say about its health."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from turnspit.cli.launching import program
from turnspit.cli.output import count_of, describe_duration, when
from turnspit.records import JobRecord, MoveRecord, Pause, QueueStats, ScheduleRecord, TaskStats, WorkerRecord

__all__ = ["Finding", "examine", "examine_move", "examine_progress", "examine_schedules"]

_SECOND = 1_000_000
_SHOWN = 5
_LATE = 60.0
"""Seconds after which a tick that has not come, or a worker that begins nothing, is worth a word."""
_STANDSTILL = 300.0
"""Seconds after which a worker that begins nothing is a fault: a task may take its minutes."""
_ENDING = ("quiet", "stop")


class Finding(NamedTuple):
    """Something that was looked at, as ``engine.diagnose`` gives it."""

    subject: str
    ok: bool
    detail: str


def examine(
    tasks: Sequence[TaskStats],
    queues: Sequence[QueueStats],
    workers: Sequence[WorkerRecord],
    hint: str = "",
    pauses: Sequence[Pause] = (),
) -> Iterator[Finding]:
    """The findings.

    :param hint: what a suggested command needs to find the same store: nothing, or its name and a space.
    """
    live = [worker for worker in workers if worker.live]
    serving = [worker for worker in live if worker.asked_to not in _ENDING]
    waiting = sum(task.ready + task.scheduled + task.held for task in tasks)
    yield _workers(live, serving, waiting, hint)
    yield from _lost_workers(workers, live)
    yield from _versions(live)
    if serving:
        yield from _unknown_tasks(tasks, serving, hint)
        yield from _unserved_queues(queues, serving)
    yield from _paused(pauses)
    oldest = min(
        (queue for queue in queues if queue.oldest_ready_at), key=lambda q: q.oldest_ready_at or 0, default=None
    )
    if oldest is not None:
        yield Finding("oldest ready", True, f"due {when(oldest.oldest_ready_at)} in queue {oldest.queue}")
    dead = sum(task.dead for task in tasks)
    if dead:
        yield Finding("dead letters", True, f"{dead:,}; see {program()} dead groups {hint}".rstrip())


def examine_move(move: MoveRecord | None) -> Iterator[Finding]:
    """Whether ``turnspit move`` has closed the store."""
    if move is None or (move.role == "target" and move.ended_at is not None):
        return
    if move.ended_at is not None:
        said = f"it has moved to {move.other}: point the app's URL there"
    elif move.role == "source":
        said = f"it is frozen while its jobs move to {move.other}: go on with turnspit move, or give up with --thaw"
    else:
        said = f"it is being filled from {move.other}, and not complete: go on with turnspit move"
    yield Finding("move", False, said)


def examine_progress(
    running: Sequence[JobRecord],
    queues: Sequence[QueueStats],
    workers: Sequence[WorkerRecord],
    pauses: Sequence[Pause],
    now: int,
    hint: str = "",
) -> Iterator[Finding]:
    """Workers whose slots are full of jobs that began long ago, while others wait for them.

    :param running: as many running jobs as are looked at.
    :param now: the store's time.
    """
    paused = {pause.name for pause in pauses if pause.kind == "queue"}
    late = [queue for queue in queues if queue.queue not in paused and _age(queue.oldest_ready_at, now) > _LATE]
    for worker in workers:
        jobs = sorted((job for job in running if job.worker == worker.name), key=lambda job: job.started_at or now)
        waiting = {q.queue: q.ready for q in late if worker.queues is None or q.queue in worker.queues}
        idle = _age(jobs[-1].started_at, now) if jobs else 0.0
        if not (worker.live and waiting and len(jobs) >= worker.concurrency and idle > _LATE):
            continue
        longest = jobs[0]
        yield Finding(
            "progress",
            idle < _STANDSTILL,
            f"{worker.name} has begun no job for {describe_duration(idle)}: its {count_of(worker.concurrency, 'slot')} "
            f"run {count_of(len(jobs), 'job')}, {longest.id} ({longest.task}) for "
            f"{describe_duration(_age(longest.started_at, now))}, while others wait in {_counted(waiting, 'ready')}: "
            f"see {program()} jobs show {hint}{longest.id}; start another worker, or {program()} workers stop "
            f"{hint}{worker.id}",
        )


def examine_schedules(
    schedules: Sequence[ScheduleRecord], workers: Sequence[WorkerRecord], now: int
) -> Iterator[Finding]:
    """Schedules whose tick is due and has not come.

    :param now: the store's time.
    """
    known = {name for worker in workers if worker.live for name in worker.tasks}
    late = [each for each in schedules if each.paused_at is None and _age(each.next_tick, now) > _LATE]
    for is_known, cure in (
        (True, "a live worker knows its task: look into that worker's log"),
        (False, "no live worker knows its task: start one whose code declares it, or remove the schedule"),
    ):
        found = [each for each in late if (each.task in known) is is_known]
        if found:
            named = _some(
                f"{each.name} of {each.app} ({each.task}) since {describe_duration(_age(each.next_tick, now))}"
                for each in found
            )
            yield Finding("schedules", False, f"due and not run: {named}; {cure}")
    paused = [each.name for each in schedules if each.paused_at is not None]
    if paused:
        yield Finding("schedules", True, f"paused: {_some(paused)}")


def _age(moment: int | None, now: int) -> float:
    return 0.0 if moment is None else (now - moment) / _SECOND


def _workers(live: Sequence[WorkerRecord], serving: Sequence[WorkerRecord], waiting: int, hint: str) -> Finding:
    start = f"{program()} worker {_worker_of(hint)}".rstrip()
    cure = f"with {count_of(waiting, 'job')} waiting: start {start}"
    if waiting and live and not serving:
        asked = _some(f"{worker.name} ({worker.asked_to})" for worker in live)
        return Finding("workers", False, f"each was asked to end and takes no more jobs, {cure}; {asked}")
    if live:
        described = (f"{w.name} ({_some(w.queues) if w.queues else 'all queues'})" for w in live)
        return Finding("workers", True, f"{len(live)} live: {_some(described)}")
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
    # An orderly stop ends the lease itself; a worker that was declared dead had let it run out before.
    died = [w for w in workers if w.stopped_at is not None and w.expires_at < w.stopped_at]
    if died:
        names = _some(f"{worker.name} {when(worker.stopped_at)}" for worker in died)
        yield Finding("lost worker", True, f"{len(died)} died within the last hour, their jobs were rescued: {names}")


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
        f"or {program()} jobs cancel {hint}--task {one if len(unknown) == 1 else 'NAME'}",
    )


def _unserved_queues(queues: Sequence[QueueStats], serving: Sequence[WorkerRecord]) -> Iterator[Finding]:
    if any(worker.queues is None for worker in serving):
        return
    served = {name for worker in serving for name in worker.queues or ()}
    unserved = {queue.queue: queue.ready for queue in queues if queue.ready and queue.queue not in served}
    if unserved:
        named, first = _counted(unserved, "ready"), ",".join(_largest(unserved))
        yield Finding("queues", False, f"no live worker serves {named}: start one with --queues {first}")


def _paused(pauses: Sequence[Pause]) -> Iterator[Finding]:
    if pauses:
        named = _some(f"{pause.kind} {pause.name} since {when(pause.paused_at)}" for pause in pauses)
        yield Finding("paused", False, f"{named}: their jobs wait for {program()} queues resume")


def _counted(waiting: Mapping[str, int], state: str) -> str:
    """Names with their jobs: however many there are, one line that a person can read."""
    if len(waiting) == 1:
        [(name, count)] = waiting.items()
        return f"{name}, with {count_of(count, 'job')} {state}"
    shown = _largest(waiting)
    named = ", ".join(f"{name} ({waiting[name]:,})" for name in shown)
    more = f" and {len(waiting) - len(shown):,} more" if len(waiting) > len(shown) else ""
    return f"{named}{more}, with {count_of(sum(waiting.values()), 'job')} {state}"


def _largest(waiting: Mapping[str, int]) -> list[str]:
    return sorted(waiting, key=lambda name: (-waiting[name], name))[:_SHOWN]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _worker_of(hint: str) -> str:
    """A worker needs the app: a store's URL does not do."""
    if not hint and "TURNSPIT_APP" in os.environ:
        return ""
    return hint.strip() if hint and "://" not in hint else "APP"
