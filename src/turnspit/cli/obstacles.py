"""What keeps a job from going on, and what to do about it."""

from collections.abc import Sequence
from shlex import quote

from turnspit.cli.launching import program
from turnspit.cli.output import count_of, when
from turnspit.codec import decode_list
from turnspit.contract import Engine
from turnspit.records import JobRecord, PauseRecord, WorkerRecord
from turnspit.states import JobState

__all__ = ["find_obstacle", "say_obstacle", "say_trouble"]

_SHOWN = 20


def find_obstacle(record: JobRecord, engine: Engine, hint: str) -> str:
    """What a job waits for, and what to do about it; empty if it only waits for its time or its turn.

    :param hint: what a suggested command needs to find the same store: nothing, or its name and a space.
    """
    if record.state is JobState.RUNNING:
        return say_trouble(record, engine.read(engine.list_workers), hint)
    move = None if record.state.is_final else engine.read(engine.get_move)
    if move is not None and move.closes:
        return f"its store: {move.closes}"
    if record.state is JobState.BLOCKED:
        return _say_dependency(record, engine, hint)
    if record.state not in (JobState.READY, JobState.HELD):
        return ""
    return say_obstacle(record, engine.read(engine.list_pauses), engine.read(engine.list_workers), hint)


def say_obstacle(
    record: JobRecord, pauses: Sequence[PauseRecord], workers: Sequence[WorkerRecord], hint: str = ""
) -> str:
    """The same of a ready or held job, from what is known of pauses and workers."""
    pause = _pause_of(record, pauses)
    if pause is not None:
        resume = f"{program()} queues resume {hint}--{pause.kind} {quote(pause.name)}"
        return f"the end of a pause: {pause.kind} {pause.name} since {when(pause.paused_at)}; {resume}"
    live = [worker for worker in workers if worker.takes_jobs]
    knowing = [worker for worker in live if record.task in worker.tasks]
    serving = [worker for worker in knowing if worker.serves(record.queue)]
    if not serving:
        wanted = f"knows {record.task}" if not knowing else f"serves {record.queue} and knows {record.task}"
        return f"a worker that {wanted}: " + _none_of(live)
    if record.state is JobState.HELD:
        limits = f"{program()} limits list {hint}".rstrip()
        jobs = f"{program()} jobs list {hint}--task {quote(record.task)}"
        return (
            f"a limit of {record.task} or of queue {record.queue}: see {limits}; or, if that is one in order, an "
            f"earlier job of its key, which runs or waits for its next attempt: see {jobs}"
        )
    answering = [worker for worker in serving if worker.blocked_since is None]
    if not answering:
        return _say_blocked(serving[0], hint)
    slots, running = sum(each.concurrency for each in answering), sum(each.running for each in answering)
    if running < slots:
        return ""
    return f"a free slot: {count_of(len(answering), 'live worker')} with {slots} run {count_of(running, 'job')}"


def _none_of(live: Sequence[WorkerRecord]) -> str:
    if len(live) > 1:
        return f"none of the {len(live)} live ones does"
    return "the one that is alive does not" if live else "none is alive"


def _say_dependency(record: JobRecord, engine: Engine, hint: str) -> str:
    """A job that it waits for: one that ended badly, or else one that has not ended."""
    if record.workflow is None:
        return "the jobs before it"
    show = f"{program()} workflows show {hint}{record.workflow}"
    before = [first for first, _ in engine.read(engine.list_workflow_edges, [record.id])]
    found = [job for number in before[:_SHOWN] if (job := engine.read(engine.get_job, number)) is not None]
    ended = next((job for job in found if job.state in (JobState.DEAD, JobState.CANCELLED)), None)
    if ended is not None:
        said = "is dead" if ended.state is JobState.DEAD else "was cancelled"
        replay = f"{program()} workflows replay {hint}{record.workflow}"
        return f"job {ended.id} ({ended.task}), which {said}: {replay} lets it go on; see {show}"
    left = next((job for job in found if not job.state.is_final), None)
    if left is None:
        return f"the jobs before it of workflow {record.workflow}: see {show}"
    others = "" if len(before) == 1 else f", one of {len(before):,} before it"
    return f"job {left.id} ({left.task}), {left.state}{others}: see {program()} jobs show {hint}{left.id}, or {show}"


def say_trouble(record: JobRecord, workers: Sequence[WorkerRecord], hint: str = "") -> str:
    """What keeps a running job from going on: its worker is lost, or its event loop is blocked."""
    its = next((each for each in workers if each.name == record.worker), None)
    if its is None:
        return ""
    if its.live:
        return "" if its.blocked_since is None else _say_blocked(its, hint)
    cure = "another takes the job back" if any(each.live for each in workers) else "a worker that starts takes it back"
    return f"its worker, which stopped renewing its lease {when(its.renewed_at)}: {cure}"


def _say_blocked(worker: WorkerRecord, hint: str) -> str:
    stop = f"{program()} workers stop {hint}{worker.id}"
    return f"the event loop of {worker.name}, which is blocked by {worker.blocked_by}: {stop} ends that worker"


def _pause_of(record: JobRecord, pauses: Sequence[PauseRecord]) -> PauseRecord | None:
    names = {"queue": [record.queue], "task": [record.task], "tag": decode_list(record.tags)}
    return next((pause for pause in pauses if pause.name in names[pause.kind]), None)
