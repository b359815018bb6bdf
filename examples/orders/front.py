"""The shop's web front: it accepts orders and leaves the work to the workers.

uvicorn examples.orders.front:front
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from examples.orders.tasks import Order, app, charge_payment, make_invoice, send_confirmation


async def place_order(request: Request) -> JSONResponse:
    """``POST /orders``: 202 once the order's jobs are stored, 422 for an order that is none."""
    try:
        order = Order.model_validate_json(await request.body())
    except ValidationError as error:
        return JSONResponse({"error": explain(error)}, status_code=422)
    # One transaction: all three jobs or none. A customer who got an answer can rely on it.
    jobs = await app.aenqueue_many(
        [send_confirmation.new(order.email, order.id), charge_payment.new(order), make_invoice.new(order)]
    )
    return JSONResponse({"order": order.id, "jobs": jobs}, status_code=202)


def explain(error: ValidationError) -> str:
    """Which field is wrong, and why."""
    problems = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'order'}: {each['msg']}" for each in problems)


@asynccontextmanager
async def lifespan(front: Starlette) -> AsyncIterator[None]:
    async with app:
        yield


front = Starlette(routes=[Route("/orders", place_order, methods=["POST"])], lifespan=lifespan)
