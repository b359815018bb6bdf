"""The limit of the interpreter: asyncio tasks that validate a payload with pydantic and await a handler. No store."""

import asyncio
import json
from importlib.metadata import version

import uvloop
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from benchmarks.contract import Program, payload

_BATCH = 500


class Arguments(TypedDict):
    """What the handler takes."""

    to: str
    order_id: int
    note: str


async def deliver(to: str, order_id: int, note: str) -> None:
    """A job that does nothing."""


class AsyncioProgram(Program):
    """One asyncio task a job, 500 at a time."""

    def settings(self) -> dict[str, str]:
        return {
            "version": "pydantic " + version("pydantic"),
            "settings": f"nothing is stored; one task a job, {_BATCH} at a time, on uvloop",
        }

    def dispatch(self, count: int) -> None:
        texts = [json.dumps(payload(number)) for number in range(count)]
        load = TypeAdapter(Arguments).validator.validate_json

        async def run(text: str) -> None:
            await deliver(**load(text))

        async def run_all() -> None:
            loop = asyncio.get_running_loop()
            for start in range(0, count, _BATCH):
                running = [loop.create_task(run(text)) for text in texts[start : start + _BATCH]]
                await asyncio.gather(*running)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_all())
