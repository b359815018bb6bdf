"""What ``turnspit doctor`` finds about jobs: tasks that fail, queues that fall behind, workflows that stand still."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from shlex import quote

from turnspit.alerts import BAD_ERROR_RATE, NOTABLE_ERROR_RATE, count_failures
from turnspit.cli.doctor_workers import Finding, some
from turnspit.cli.launching import program
from turnspit.cli.output import count_of, describe_duration, when
from turnspit.loads import seconds_since
from turnspit.records import (
    FAILED_OUTCOMES,
    CounterRecord,
    DeadGroupRecord,
    FullKey,
    JobRecord,
    PauseRecord,
    QueueLoad,
    StandingWorkflow,
)
from turnspit.states import JobState

__all__ = [
    "FAILING_MINUTES",
    "examine_crashes",
    "examine_dead",
    "examine_failures",
    "examine_limits",
    "examine_loads",
    "examine_workflows",
    "failing_tasks",
    "recovered_tasks",
]

FAILING_MINUTES = 15
_LATE = 60.0
_RECENTLY = 3600.0
_SHOWN = 200
"""Characters of an error."""


def failing_tasks(counters: Iterable[CounterRecord]) -> dict[str, tuple[int, int]]:
    """``(failed, attempts)`` of each task that fails often; the most failures first.

    A crash is no failure: it may have been another job's fault, and costs no attempt.
    """
    counters = (counter for counter in counters if counter.outcome != "crashed")
    often = {
        task: (failed, attempts)
        for task, (failed, attempts) in count_failures(counters).items()
        if failed >= NOTABLE_ERROR_RATE * attempts
    }
    return dict(sorted(often.items(), key=lambda each: -each[1][0]))


def recovered_tasks(counters: Iterable[CounterRecord]) -> frozenset[str]:
    """The tasks that have completed jobs in a later minute than the last in which one of their attempts failed."""
    completed: dict[str, int] = {}
    failed: dict[str, int] = {}
    for counter in counters:
        newest = completed if counter.outcome == "completed" else failed if counter.outcome in FAILED_OUTCOMES else {}
        newest[counter.task] = max(counter.minute, newest.get(counter.task, 0))
    return frozenset(task for task, minute in completed.items() if minute > failed.get(task, 0))


def examine_failures(
    failing: Mapping[str, tuple[int, int]],
    newest: Mapping[str, JobRecord | None],
    recovered: Collection[str] = (),
    hint: str = "",
) -> Iterator[Finding]:
    """Tasks whose attempts fail.

    :param failing: as ``failing_tasks`` gives it.
    :param newest: of each task a job whose last attempt failed.
    :param recovered: as ``recovered_tasks`` gives it. No fault, unless a job still waits for another attempt.
    """
    for task, (failed, attempts) in failing.items():
        job = newest.get(task)
        error = "" if job is None else f": {_error(job.error_type, job.reason)}"
        run_now = f"{program()} jobs run-now {hint}--task {quote(task)}"
        now = f"; once it is mended, {run_now} does not wait for their next attempts"
        waits = job is not None and job.state is JobState.SCHEDULED
        is_over = task in recovered and not waits
        yield Finding(
            "failing",
            is_over or failed < BAD_ERROR_RATE * attempts,
            f"{failed:,} of {count_of(attempts, 'attempt')} of {task} failed within {FAILING_MINUTES} minutes"
            f"{', none of the newest' if is_over else ''}{error}"
            + ("" if job is None else f"; see {program()} jobs show {hint}{job.id}")
            + (now if waits else ""),
            is_notable=True,
        )


def examine_crashes(
    counters: Iterable[CounterRecord], running: Iterable[JobRecord], hint: str = ""
) -> Iterator[Finding]:
    """Runs that ended with their worker, and the job that has seen the most workers die.

    :param running: as many running jobs as are looked at.
    """
    crashed: Counter[str] = Counter()
    for counter in counters:
        if counter.outcome == "crashed":
            crashed[counter.task] += counter.count
    if not crashed:
        return
    tasks = some(f"{count:,} of {task}" for task, count in crashed.most_common())
    text = f"{count_of(crashed.total(), 'run')} ended with their worker within {FAILING_MINUTES} minutes: {tasks}"
    suspect = max(running, key=lambda job: job.crashes, default=None)
    if suspect is not None and suspect.crashes > 1:
        text += (
            f"; job {suspect.id} ({suspect.task}) has seen {suspect.crashes} workers die, and is dead after a few "
            f"more: see {program()} jobs show {hint}{suspect.id}"
        )
    yield Finding("lost worker", True, text, is_notable=True)


def examine_loads(loads: Sequence[QueueLoad], pauses: Sequence[PauseRecord]) -> Iterator[Finding]:
    """The queue whose ready jobs have waited longest: how fast it is worked off, and when it would be empty."""
    paused = {pause.name for pause in pauses if pause.kind == "queue"}
    waiting = [load for load in loads if load.ready and load.queue not in paused]
    if not waiting:
        return
    oldest = max(waiting, key=lambda load: load.oldest)
    due = f"due {describe_duration(oldest.oldest)} ago in queue {oldest.queue}, {count_of(oldest.ready, 'job')} ready"
    if oldest.oldest <= _LATE:
        yield Finding("oldest ready", True, due)
        return
    pace = f"{oldest.throughput * 60:,.0f} a minute end there ({describe_duration(oldest.latency)} for what waits)"
    yield Finding(
        "oldest ready",
        True,
        f"{due}: {count_of(oldest.slots, 'slot')} of live workers, and "
        f"{pace if oldest.throughput else 'nothing ended there within 5 minutes'}",
        is_notable=True,
    )


def examine_limits(full: Sequence[FullKey], held: int, hint: str = "") -> Iterator[Finding]:
    """What holds jobs back that could begin otherwise.

    :param held: how many jobs limits hold, as far as they were counted.
    """
    full = [key for key in full if key.taken >= key.allowed]
    if not held or not full:
        return
    named = some(
        f"{key.name}{f' of {key.key}' if key.key not in ('', '[]') else ''} ({key.taken:,} of {key.allowed:,})"
        for key in full
    )
    see = f"{program()} limits list {hint}".rstrip()
    yield Finding("limits", True, f"{count_of(held, 'job')} held; used up: {named}; see {see}", is_notable=True)


def examine_dead(groups: Sequence[DeadGroupRecord], total: int, now: int, hint: str = "") -> Iterator[Finding]:
    """How many dead letters there are, and the largest group with a recent one.

    :param total: all dead letters, also those that are not in the groups, counted a moment earlier.
    """
    total = max(total, sum(group.count for group in groups))
    if not total:
        return
    text = f"{total:,}; see {program()} dead groups {hint}".rstrip()
    recent = [group for group in groups if seconds_since(group.last_at, now) < _RECENTLY]
    if recent:
        most = max(recent, key=lambda group: group.count)
        error = _error(most.error_type, most.message)
        share = f"{total:,}, {most.count:,} of them" if most.count < total else f"{total:,} of"
        text = (
            f"{share} {most.task} with {error}, the newest {when(most.last_at)}: mend it, "
            f"and {program()} dead replay {hint}--group {most.fingerprint}; see {program()} dead groups {hint}"
        ).rstrip()
    yield Finding("dead letters", True, text, is_notable=bool(recent))


def _error(kind: str | None, message: str | None) -> str:
    """An error in one line, of which a long message has its beginning: jobs show has all of it."""
    text = " ".join(": ".join(filter(None, (kind, message))).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def examine_workflows(standing: Sequence[StandingWorkflow], hint: str = "") -> Iterator[Finding]:
    """Workflows that go on only if a person does something."""
    if not standing:
        return
    named = some(
        f"{each.id} ({each.name}): job {each.job} ({each.task or 'forgotten'}) {_ENDED[each.state]}, and "
        f"{count_of(each.blocked, 'job')} wait{'s' if each.blocked == 1 else ''} for it"
        for each in standing
    )
    first = standing[0]
    replay = (
        f"see {program()} jobs show {hint}{first.job}; {program()} workflows replay {hint}{first.id} lets it go on, "
    )
    yield Finding(
        "workflows",
        False,
        f"{count_of(len(standing), 'workflow')} will not go on by "
        f"{'itself' if len(standing) == 1 else 'themselves'}: {named}; {replay if first.task else ''}"
        f"{program()} workflows cancel {hint}{first.id} ends it",
    )


_ENDED = {JobState.DEAD: "is dead", JobState.CANCELLED: "was cancelled"}
