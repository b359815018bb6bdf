"""Schemathesis, which reads the OpenAPI document and sends what it allows and what it does not: never a 500, and every
answer is as the document says. On PostgreSQL too, which knows no NUL and no number without end.
"""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from turnspit import Cron, Queue, Turnspit
from turnspit.web import make_dashboard

SETTINGS = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance]


def make_shop(app: Turnspit) -> None:
    @app.task(queue="email")
    async def send(to: str, order_id: int = 0) -> str: ...

    @app.task(rate=None, schedule=Cron("0 8 * * *"))
    def digest() -> None: ...

    app.enqueue_many(send.new(to=str(number)) for number in range(5))
    app.jobs.cancel(1)
    app.schedules.synchronise()


def test_nothing_that_can_be_sent_breaks_it(store_url: str) -> None:
    with Turnspit(store_url, queues=[Queue("email", concurrency=5)]) as app:
        make_shop(app)
        schema = schemathesis.openapi.from_asgi("/api/openapi.json", make_dashboard(app, authorize=lambda *_: True))
        for result in schema.get_all_operations():
            attack(result.ok())


def attack(operation: Any) -> None:
    @SETTINGS
    @given(case=operation.as_strategy())
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    send()
