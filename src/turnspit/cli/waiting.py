"""What a job waits for that does not run, for people."""

from collections.abc import Sequence

from turnspit.cli.documents import stored_json
from turnspit.cli.launching import program
from turnspit.cli.output import count_of, when
from turnspit.contract import Engine
from turnspit.records import JobRecord, Pause, WorkerRecord
from turnspit.states import JobState

__all__ = ["find_obstacle", "say_obstacle"]

_ENDING = ("quiet", "stop")


def find_obstacle(record: JobRecord, engine: Engine, hint: str) -> str:
    """What a job waits for, and what to do about it; empty where nothing but its time or its turn is in its way.

    :param hint: what a suggested command needs to find the same store: nothing, or its name and a space.
    """
    if record.state is JobState.BLOCKED:
        end = f" of workflow {record.workflow}: see {program()} workflows show {hint}{record.workflow}"
        return "the jobs before it" + (end if record.workflow is not None else "")
    if record.state not in (JobState.READY, JobState.HELD):
        return ""
    return say_obstacle(record, engine.read(engine.list_pauses), engine.read(engine.list_workers), hint)


def say_obstacle(record: JobRecord, pauses: Sequence[Pause], workers: Sequence[WorkerRecord], hint: str = "") -> str:
    """The same of a ready or held job, from what is known of pauses and workers."""
    pause = _pause_of(record, pauses)
    if pause is not None:
        resume = f"{program()} queues resume {hint}--{pause.kind} {pause.name}"
        return f"the end of a pause: {pause.kind} {pause.name} since {when(pause.paused_at)}; {resume}"
    live = [worker for worker in workers if worker.live and worker.asked_to not in _ENDING]
    knowing = [worker for worker in live if record.task in worker.tasks]
    serving = [worker for worker in knowing if worker.queues is None or record.queue in worker.queues]
    if not serving:
        wanted = f"knows {record.task}" if not knowing else f"serves {record.queue} and knows {record.task}"
        return f"a worker that {wanted}: " + (f"none of {len(live)} live ones does" if live else "none is alive")
    if record.state is JobState.HELD:
        limits = f"{program()} limits list {hint}".rstrip()
        return f"a limit of {record.task} or of queue {record.queue}, or an earlier job of its key: see {limits}"
    slots, running = sum(each.concurrency for each in serving), sum(each.running for each in serving)
    if running < slots:
        return ""
    return f"a free slot: {count_of(len(serving), 'live worker')} with {slots} run {count_of(running, 'job')}"


def _pause_of(record: JobRecord, pauses: Sequence[Pause]) -> Pause | None:
    names = {"queue": [record.queue], "task": [record.task], "tag": stored_json(record.tags) if record.tags else []}
    return next((pause for pause in pauses if pause.name in names[pause.kind]), None)
