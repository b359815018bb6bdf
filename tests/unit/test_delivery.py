"""Answers of threads reach the loop that waits for them, and keep no loop that does not."""

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

from turnspit.delivery import delivery_to


def test_answers_of_many_threads_all_arrive() -> None:
    async def receive() -> list[bool]:
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[bool]] = [loop.create_future() for _ in range(1000)]
        with ThreadPoolExecutor(4) as threads:
            threads.map(delivery_to(loop).add, answers)
        return await asyncio.gather(*answers)

    assert all(asyncio.run(receive()))


def test_an_answer_that_comes_behind_the_end_of_a_loop_does_not_keep_it() -> None:
    loop = asyncio.new_event_loop()
    delivery, answer = delivery_to(loop), loop.create_future()
    loop.close()
    delivery.add(answer)
    closed = weakref.ref(loop)
    del loop, delivery, answer
    gc.collect()
    assert closed() is None
