"""The limit of the interpreter: asyncio tasks that validate a payload with pydantic and await a handler. No store."""

import asyncio
import importlib.util
import json
from importlib.metadata import version

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from benchmarks.contract import System, payload

_BATCH = 500


class Arguments(TypedDict):
    """What the handler takes."""

    to: str
    order_id: int
    note: str


async def deliver(to: str, order_id: int, note: str) -> None:
    """A job that does nothing."""


class RawAsyncio(System):
    """One asyncio task a job, 500 at a time."""

    name = "asyncio"
    measurements = ("dispatch",)

    @classmethod
    def settings(cls) -> dict[str, str]:
        return {
            "version": "pydantic " + version("pydantic"),
            "durability": "nothing is stored",
            "settings": f"one task a job, {_BATCH} at a time, on {'uvloop' if _has_uvloop() else 'asyncio'}",
        }

    def open(self) -> None:
        self._adapter = TypeAdapter(Arguments)

    def dispatch(self, count: int) -> None:
        texts = [json.dumps(payload(number)) for number in range(count)]
        load = self._adapter.validator.validate_json

        async def run(text: str) -> None:
            await deliver(**load(text))

        async def run_all() -> None:
            loop = asyncio.get_running_loop()
            for start in range(0, count, _BATCH):
                running = [loop.create_task(run(text)) for text in texts[start : start + _BATCH]]
                await asyncio.gather(*running)

        with asyncio.Runner(loop_factory=_new_loop if _has_uvloop() else None) as runner:
            runner.run(run_all())


def _has_uvloop() -> bool:
    return importlib.util.find_spec("uvloop") is not None


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415  (optional)

    return uvloop.new_event_loop()
