"""A worker process under a limit, whose jobs record when they begin and end.

The database of the tests is on the same machine, so the process's clock is the database's: asking the database would
add the time that a busy machine takes to answer.
"""

import asyncio
import sys
import time

from tests.starts import record_starts
from turnspit import Concurrency, JobContext, Rate, Retry, Turnspit

ALLOWED, PER, AT_ONCE = 6, 0.5, 3

app = Turnspit()
starts: dict[int, float] = {}


@app.task(rate=Rate(ALLOWED, per=PER), concurrency=Concurrency(AT_ONCE), retry=Retry(attempts=3, delay=0))
async def call(job: JobContext, number: int) -> None:
    begun = starts.pop(job.id, None)
    job.log(f"alone {time.time()}" if begun is None else f"begun {begun}")  # after a crash, when no other runs
    await asyncio.sleep(0.03)
    job.log(f"ended {time.time()}")
    if number % 7 == 0 and job.attempt == 1:
        raise ValueError("again")


if __name__ == "__main__":
    app.configure(sys.argv[1])
    starts = record_starts()
    app.run_worker(lease=2, concurrency=4, on_start=lambda _: print("started", flush=True))  # noqa: T201
