"""The world outside the shop, on this machine: a mail server, a payment gateway, a carrier, and what serves HTTP.

The payment gateway fails one time in five, always for the same orders and attempts. Half of these times it has taken
the money before it fails: the caller cannot know, and asks again with the same Idempotency-Key.
"""

import asyncio
import contextlib
import json
import random
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from email import message_from_bytes
from mailbox import Maildir
from pathlib import Path
from typing import Any

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_FAILURES = 0.2
_MOST_A_SECOND = 60
"""Twice the rate that the shop keeps to: on a busy machine, the requests of two seconds may arrive in one."""
_SEED = "c"  # no order meets more than three failures


class MailServer:
    """Receives e-mail over SMTP into a Maildir.

    :param on_delivery: called with the Message-ID when a message is in the mailbox and its sender does not know it yet.
    """

    def __init__(self, folder: Path, on_delivery: Callable[[str], Awaitable[None]]) -> None:
        self._mailbox = Maildir(folder)
        self._on_delivery = on_delivery

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd calls this with each message."""
        await asyncio.sleep(random.uniform(0.02, 0.05))
        message = message_from_bytes(envelope.original_content or b"")
        self._mailbox.add(message)
        await self._on_delivery(str(message["Message-ID"]))
        return "250 OK"


class Gateway:
    """Charges cards, each Idempotency-Key once; keeps a ledger of the charges, one line of JSON each."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._receipts: dict[str, str] = {}
        self._asked: Counter[int] = Counter()
        self.declines = True
        """Whether the bank blocks cards that are declined."""
        self.routes = [Route("/charges", self.charge, methods=["POST"])]

    async def charge(self, request: Request) -> JSONResponse:
        """``POST /charges``: 200 with a receipt, 402 for a declined card, 503 when it is out of order."""
        charge: dict[str, Any] = await request.json()
        self._asked[charge["order"]] += 1
        fate = random.Random(f"{_SEED} {charge['order']} {self._asked[charge['order']]}")
        await asyncio.sleep(fate.uniform(0.2, 0.8))
        if charge["card"] == "card_declined" and self.declines:
            return JSONResponse({"error": "card declined"}, status_code=402)
        failure = fate.random()
        if failure < _FAILURES / 2:
            return JSONResponse({"error": "out of order"}, status_code=503)
        receipt = self._take(request.headers["Idempotency-Key"], charge)
        if failure < _FAILURES:
            return JSONResponse({"error": "out of order"}, status_code=503)
        return JSONResponse({"receipt": receipt})

    def _take(self, key: str, charge: dict[str, Any]) -> str:
        if key not in self._receipts:
            self._receipts[key] = f"receipt-{len(self._receipts) + 1}"
            with self._ledger.open("a") as ledger:
                print(json.dumps({"key": key, "order": charge["order"], "amount": charge["amount"]}), file=ledger)
        return self._receipts[key]


class Carrier:
    """Takes parcels, each Idempotency-Key once; keeps a ledger of them, and refuses requests that come too fast."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._parcels: dict[str, str] = {}
        self._asked: deque[float] = deque(maxlen=_MOST_A_SECOND)
        self.routes = [Route("/shipments", self.ship, methods=["POST"])]

    async def ship(self, request: Request) -> JSONResponse:
        """``POST /shipments``: 200 with a tracking number, or 429 if requests come too fast."""
        parcel: dict[str, Any] = await request.json()
        now = asyncio.get_running_loop().time()
        refused = len(self._asked) == _MOST_A_SECOND and now - self._asked[0] < 1.0
        self._asked.append(now)
        key = request.headers["Idempotency-Key"]
        if refused or key not in self._parcels:
            with self._ledger.open("a") as ledger:
                print(json.dumps({"order": parcel["order"], "refused": refused}), file=ledger)
        if refused:
            return JSONResponse({"error": "too many requests"}, status_code=429)
        tracking = self._parcels.setdefault(key, f"parcel-{len(self._parcels) + 1}")
        return JSONResponse({"tracking": tracking})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ctrl-C belongs to the demo."""
        yield


@contextlib.asynccontextmanager
async def serve_http(app: Starlette) -> AsyncIterator[str]:
    """Serve an application on a free port; its URL."""
    with _listen() as listener:
        # Longer than httpx keeps a connection: with the same 5 s, a request may meet one that is being closed.
        server = _Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=60))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@contextlib.asynccontextmanager
async def serve_smtp(handler: MailServer) -> AsyncIterator[int]:
    """Serve a mail server on a free port; the port."""
    with _listen() as listener:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(handler, hostname="localhost"), sock=listener)
        async with server:
            yield listener.getsockname()[1]


def _listen() -> socket.socket:
    """A listening socket: connections wait in it until its server has started."""
    return socket.create_server(("127.0.0.1", 0), backlog=128)
