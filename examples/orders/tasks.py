"""What a shop does in the background once it has accepted an order. Read this file first.

The web front (front.py) enqueues the three tasks, and workers run them:

    turnspit worker examples.orders.tasks:app
"""

import os
from collections.abc import AsyncIterator
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx
from fpdf import FPDF
from pydantic import BaseModel, EmailStr, Field, PositiveInt

from turnspit import GiveUp, JobContext, Retry, Turnspit

STORE = os.environ.get("DEMO_STORE", "sqlite:///demo/shop.db")

app = Turnspit(STORE)


class Order(BaseModel):
    """What a customer ordered."""

    id: PositiveInt
    customer: str = Field(min_length=1)
    email: EmailStr
    item: str
    quantity: PositiveInt
    price: Decimal
    card: str

    @property
    def total(self) -> Decimal:
        return self.quantity * self.price


@app.lifespan
async def lifespan(app: Turnspit) -> AsyncIterator[dict[str, Any]]:
    """Open what a worker needs once; every job finds it in ``job.resources``."""
    smtp = {"hostname": "127.0.0.1", "port": int(os.environ.get("SMTP_PORT", "8025")), "local_hostname": "shop.example"}
    async with httpx.AsyncClient(base_url=os.environ.get("GATEWAY_URL", "http://127.0.0.1:8026")) as gateway:
        yield {"smtp": smtp, "gateway": gateway, "invoices": Path("demo/invoices")}


@app.task(queue="email", retry=Retry(attempts=5, base=1.0, cap=300.0), timeout=30)
async def send_confirmation(job: JobContext, to: EmailStr, order_id: int) -> str:
    """An ``async def`` runs on the worker's event loop."""
    message_id = f"<{job.idempotency_key}@shop.example>"  # the same on every attempt
    message = EmailMessage()
    message["From"] = "orders@shop.example"
    message["To"] = to
    message["Subject"] = f"Your order {order_id}"
    message["Message-ID"] = message_id
    message.set_content(f"Thank you! We have your order {order_id} and are packing it.")
    await aiosmtplib.send(message, **job.resources["smtp"])
    return message_id


@app.task(queue="payments", retry=Retry(attempts=10, base=1.0, cap=60.0), timeout=30)
async def charge_payment(job: JobContext, order: Order) -> str:
    """An exception is tried again by the task's ``Retry``; ``GiveUp`` is not."""
    response = await job.resources["gateway"].post(
        "/charges",
        json={"order": order.id, "amount": str(order.total), "card": order.card},
        headers={"Idempotency-Key": job.idempotency_key},  # however often we ask, it charges once
    )
    if response.status_code == httpx.codes.PAYMENT_REQUIRED:
        raise GiveUp("card declined")
    response.raise_for_status()
    receipt: str = response.json()["receipt"]
    return receipt


@app.task(queue="invoices")
def make_invoice(job: JobContext, order: Order) -> Path:
    """A plain ``def`` runs in a thread, so that drawing keeps no e-mail waiting."""
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("helvetica", size=12)
    pdf.multi_cell(0, text=f"Invoice {order.id}\n{order.customer}\n\n", new_x="LMARGIN", new_y="NEXT")
    with pdf.table() as table:
        table.row(["Item", "Quantity", "Price", "Total"])
        table.row([order.item, str(order.quantity), str(order.price), str(order.total)])
    job.progress(0.5, "drawn")
    path: Path = job.resources["invoices"] / f"{order.id}.pdf"
    pdf.output(str(path))
    return path
