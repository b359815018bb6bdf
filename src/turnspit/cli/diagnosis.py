"""What the jobs and the workers of a store say about its health."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from turnspit.cli.launching import program
from turnspit.cli.output import count_of, when
from turnspit.records import MoveRecord, Pause, QueueStats, TaskStats, WorkerRecord

__all__ = ["Finding", "examine", "examine_move"]

_SHOWN = 5


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
    waiting = sum(task.ready + task.scheduled + task.held for task in tasks)
    yield _workers(live, waiting, hint)
    yield from _lost_workers(workers, live)
    yield from _versions(live)
    if live:
        yield from _unknown_tasks(tasks, live, hint)
        yield from _unserved_queues(queues, live)
    yield from _paused(pauses)
    if all(pause.kind != "tag" for pause in pauses):  # else any of them may be held for it
        explained = {pause.name for pause in pauses if pause.kind == "task"}
        explained |= {name for worker in live for name in worker.tasks}  # these wait for their limits
        yield from _held([task for task in tasks if task.task not in explained])
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


def _workers(live: Sequence[WorkerRecord], waiting: int, hint: str) -> Finding:
    if live:
        described = (f"{w.name} ({', '.join(w.queues) if w.queues else 'all queues'})" for w in live)
        return Finding("workers", True, f"{len(live)} live: {_some(described)}")
    if waiting:
        start = f"{program()} worker {_worker_of(hint)}".rstrip()
        said = f"none is alive, with {count_of(waiting, 'job')} waiting: start {start}"
        return Finding("workers", False, said)
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


def _unknown_tasks(tasks: Sequence[TaskStats], live: Sequence[WorkerRecord], hint: str) -> Iterator[Finding]:
    known = {name for worker in live for name in worker.tasks}
    unknown = [task for task in tasks if task.ready + task.scheduled + task.held and task.task not in known]
    for task in unknown:
        waiting = count_of(task.ready + task.scheduled + task.held, "job")
        yield Finding(
            "tasks",
            False,
            f"no live worker knows {task.task}, with {waiting} waiting: start a worker whose code declares it (a "
            f"renamed task keeps its old name in aliases=), or {program()} jobs cancel {hint}--task {task.task}",
        )
    if not unknown:
        yield Finding("tasks", True, "a live worker knows the task of every waiting job")


def _unserved_queues(queues: Sequence[QueueStats], live: Sequence[WorkerRecord]) -> Iterator[Finding]:
    if any(worker.queues is None for worker in live):
        return
    served = {name for worker in live for name in worker.queues or ()}
    for queue in queues:
        if queue.ready and queue.queue not in served:
            ready = count_of(queue.ready, "job")
            said = f"no live worker serves {queue.queue}, with {ready} ready: start one with --queues {queue.queue}"
            yield Finding("queues", False, said)


def _paused(pauses: Sequence[Pause]) -> Iterator[Finding]:
    if pauses:
        named = _some(f"{pause.kind} {pause.name} since {when(pause.paused_at)}" for pause in pauses)
        yield Finding("paused", False, f"{named}: their jobs wait for {program()} queues resume")


def _held(tasks: Sequence[TaskStats]) -> Iterator[Finding]:
    held = {task.task: task.held for task in tasks if task.held}
    if held:
        named = _some(f"{count:,} of {name}" for name, count in held.items())
        said = f"until a worker comes that knows the task: {named}"
        yield Finding("held", False, said)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _worker_of(hint: str) -> str:
    """A worker needs the app: a store's URL does not do."""
    if not hint and "TURNSPIT_APP" in os.environ:
        return ""
    return hint.strip() if hint and "://" not in hint else "APP"
