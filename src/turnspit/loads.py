"""How much waits in queues, and for how long: figures for autoscalers and alerts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from turnspit.records import CounterRecord, QueueCounts, QueueLoad, StoreCounts, WorkerRecord

__all__ = ["LOAD_MINUTES", "LOAD_MOST", "estimate_latency", "queue_loads", "seconds_since"]

LOAD_MINUTES = 5
"""The attempts that ended within so many minutes show how fast a queue is."""
LOAD_MOST = 10_000
"""Jobs of a queue are counted up to this number."""
_SECOND = 1_000_000


def queue_loads(
    counts: StoreCounts, counters: Iterable[CounterRecord], workers: Sequence[WorkerRecord]
) -> list[QueueLoad]:
    """Each queue with live jobs, or whose jobs ended lately, by name.

    :param counters: of the last minutes, one slot a minute.
    """
    queues = {queue.queue: queue for queue in counts.queues}
    ended: defaultdict[str, int] = defaultdict(int)
    since: dict[str, int] = {}
    for counter in counters:
        ended[counter.queue] += counter.count
        since[counter.queue] = min(counter.minute, since.get(counter.queue, counter.minute))
    live = [worker for worker in workers if worker.live]
    loads = []
    for name in sorted({*queues, *ended}):
        queue = queues.get(name, QueueCounts(name))
        seconds = max(1.0, counts.now / _SECOND - since[name] * 60) if name in since else 1.0
        throughput = ended[name] / seconds
        oldest = seconds_since(queue.oldest_ready_at, counts.now)
        loads.append(
            QueueLoad(
                queue=name,
                ready=queue.ready,
                running=queue.running,
                slots=sum(worker.concurrency for worker in live if worker.serves(name)),
                oldest=oldest,
                throughput=throughput,
                latency=estimate_latency(queue.ready, throughput, oldest),
            )
        )
    return loads


def estimate_latency(ready: int, throughput: float, oldest: float) -> float:
    """Seconds until a job that is enqueued now begins, where ``ready`` wait and ``throughput`` end a second; where none
    ends, as long as the ``oldest`` has waited.

    >>> estimate_latency(60, 2.0, 8.0), estimate_latency(5, 0.0, 8.0), estimate_latency(0, 0.0, 0.0)
    (30.0, 8.0, 0.0)
    """
    if not ready:
        return 0.0
    return ready / throughput if throughput else oldest


def seconds_since(moment: int | None, now: int) -> float:
    """Seconds from a moment until ``now``; 0 if there is none, or it is still to come."""
    return 0.0 if moment is None else max(0, now - moment) / _SECOND
