"""An order and its jobs in one SQLAlchemy transaction: either all of them exist, or none.

uvicorn examples.fastapi_orders.main:api

curl 127.0.0.1:8000/orders --json '{"email": "ada@example.com", "item": "kettle"}'     {"id":1,"jobs":[1,2]}
turnspit worker examples.fastapi_orders.main:app
curl 127.0.0.1:8000/orders/1                      {"id":1,"email":"ada@example.com","item":"kettle","confirmed":true}

SHOP_DATABASE=postgresql+asyncpg://user:password@host/shop moves the orders and their jobs to PostgreSQL.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, EmailStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from turnspit import Turnspit
from turnspit.contrib.fastapi import joining, lifespan

URL = os.environ.get("SHOP_DATABASE", "sqlite+aiosqlite:///orders.db")

app = Turnspit(URL)
database = create_async_engine(URL)
new_session = async_sessionmaker(database, expire_on_commit=False)


class Table(DeclarativeBase):
    """The root of the tables."""


class Order(Table):
    """What a customer ordered."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    item: Mapped[str]
    confirmed: Mapped[bool] = mapped_column(default=False)


class NewOrder(BaseModel):
    """What a customer sends."""

    email: EmailStr
    item: str


@app.task
async def send_confirmation(order_id: int) -> str:
    async with new_session.begin() as session:
        order = await session.get_one(Order, order_id)
        order.confirmed = True
        return order.email


@app.task
def make_invoice(order_id: int) -> str:
    return f"invoices/{order_id}.pdf"


async def get_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


SessionOfRequest = Annotated[AsyncSession, Depends(joining(app, get_session))]


@asynccontextmanager
async def start(api: FastAPI) -> AsyncIterator[None]:
    async with lifespan(app)(api):
        async with database.begin() as connection:
            await connection.run_sync(Table.metadata.create_all)
        yield
        await database.dispose()


api = FastAPI(lifespan=start)


@api.post("/orders", status_code=201)
async def place_order(new: NewOrder, session: SessionOfRequest) -> dict[str, int | list[int]]:
    order = Order(email=new.email, item=new.item)
    session.add(order)
    await session.flush()
    confirmation = await send_confirmation.aenqueue(order.id)
    invoice = await make_invoice.aenqueue(order.id)
    if new.item == "unicorn":
        raise HTTPException(409, "sold out")  # nothing was committed: no order, no jobs
    await session.commit()
    return {"id": order.id, "jobs": [confirmation.id, invoice.id]}


@api.get("/orders/{order_id}")
async def show_order(order_id: int, session: Annotated[AsyncSession, Depends(get_session)]) -> dict[str, object]:
    order = await session.get(Order, order_id)
    if order is None:
        raise HTTPException(404, f"there is no order {order_id}")
    return {"id": order.id, "email": order.email, "item": order.item, "confirmed": order.confirmed}
