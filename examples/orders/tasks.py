"""What a shop does in the background once it has accepted an order. Read this file first.

The web front (front.py) stores each order as a workflow of five jobs (``fulfil``), and workers run them:

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

from turnspit import Cron, GiveUp, JobContext, Rate, Retry, Turnspit, WorkflowBuilder

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
async def send_confirmation(job: JobContext, to: EmailStr, order_id: int, tracking: str) -> str:
    """An ``async def`` runs on the worker's event loop."""
    message_id = f"<{job.idempotency_key}@shop.example>"  # the same on every attempt
    message = EmailMessage()
    message["From"] = "orders@shop.example"
    message["To"] = to
    message["Subject"] = f"Your order {order_id}"
    message["Message-ID"] = message_id
    message.set_content(f"Thank you! Your order {order_id} is on its way: {tracking}.")
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


@app.task(queue="stock")
async def reserve_stock(order: Order) -> str:
    """Where the packers find it."""
    return f"shelf {order.id % 12 + 1}"


@app.task(queue="partner", rate=Rate(30, per=1.0), retry=Retry(attempts=10, base=1.0, cap=60.0), timeout=30)
async def ship(job: JobContext, order: Order, receipt: str, shelf: str) -> str:
    """The carrier lets us ask thirty times a second, all workers together; ``rate`` keeps to it."""
    response = await job.resources["gateway"].post(
        "/shipments",
        json={"order": order.id, "receipt": receipt, "shelf": shelf},
        headers={"Idempotency-Key": job.idempotency_key},
    )
    response.raise_for_status()
    tracking: str = response.json()["tracking"]
    return tracking


@app.task(schedule=Cron("0 20 * * *", tz="Europe/Berlin"))
async def daily_report(job: JobContext) -> int:
    """Every evening at eight, once, however many workers there are; the demo does not wait so long."""
    shipped = await app.jobs.acount(state="completed", task="ship")
    (job.resources["invoices"].parent / "report.txt").write_text(f"orders shipped: {shipped}\n")
    return shipped


def fulfil(flow: WorkflowBuilder, order: Order) -> None:
    """charge → (reserve stock ‖ invoice) → ship → confirm. A result that is an argument is waited for."""
    charge = flow.add(charge_payment.new(order), name="charge")
    reserve = flow.add(reserve_stock.new(order), name="reserve", after=[charge])
    invoice = flow.add(make_invoice.new(order), name="invoice", after=[charge])
    shipment = flow.add(ship.new(order, charge.result, reserve.result), name="ship", after=[invoice])
    flow.add(send_confirmation.new(order.email, order.id, shipment.result), name="confirm")
