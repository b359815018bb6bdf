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

from examples.orders.tasks import Order, app, fulfil


async def place_order(request: Request) -> JSONResponse:
    """``POST /orders``: 202 once the order's workflow is stored, 422 for an order that is none."""
    try:
        order = Order.model_validate_json(await request.body())
    except ValidationError as error:
        return JSONResponse({"error": explain(error)}, status_code=422)
    # One transaction: all five jobs or none. A customer who got an answer can rely on it.
    async with app.workflow(f"order {order.id}") as flow:
        fulfil(flow, order)
    return JSONResponse({"order": order.id, "workflow": flow.id, "jobs": flow.job_ids}, status_code=202)


def explain(error: ValidationError) -> str:
    """Which field is wrong, and why."""
    problems = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'order'}: {each['msg']}" for each in problems)


@asynccontextmanager
async def lifespan(front: Starlette) -> AsyncIterator[None]:
    async with app:
        yield


front = Starlette(routes=[Route("/orders", place_order, methods=["POST"])], lifespan=lifespan)
