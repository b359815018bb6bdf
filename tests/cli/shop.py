"""The app that the command line's tests work on; copied into each test's folder."""

import asyncio
import socket

from pydantic import BaseModel

from turnspit import Cancel, GiveUp, JobContext, Retry, Snooze, Turnspit

app = Turnspit("sqlite:///shop.db")


class Order(BaseModel):
    id: int
    amount: float


@app.task(queue="email", retry=Retry(attempts=2, delay=0))
async def send_confirmation(to: str, order_id: int) -> str:
    if to.endswith("@down.example"):
        raise ConnectionError(f"no route for order {order_id}")
    return f"<{order_id}@shop.example>"


@app.task(retry=Retry(delay=[3600]))
def make_invoice(job: JobContext, order_id: int) -> dict[str, object]:
    job.progress(0.5, "rendering")
    job.log("two pages", "warning")
    if order_id < 0:
        raise ValueError(f"order {order_id} has no number")
    return {"order": order_id, "attempt": job.attempt}


@app.task(queue="payments")
async def charge_payment(order: Order) -> None:
    if order.amount > 100:
        raise GiveUp("card declined")
    raise Snooze(300, "the gateway is closed") if order.amount else Cancel("nothing to pay")


@app.task
async def hold(gate: str) -> str:
    reader, writer = await asyncio.open_unix_connection(gate)
    try:
        await reader.read()
    finally:
        writer.close()
    return "let go"


@app.task
def hold_thread(gate: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(gate)
        connection.recv(1)
    return "let go"
