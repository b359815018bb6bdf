"""The connection on which a worker stores what ended."""

from tests.behaviour.support import DEADLINE, wait_until
from tests.postgres import new_schema, server
from tests.proxy import Proxy
from turnspit import Turnspit


def test_a_worker_that_is_connected_works_on_while_the_server_takes_no_more_connections() -> None:
    """It opened this one when its first job ended, and could not store that end, nor any other."""
    with (
        Proxy(server(18).port) as proxy,
        new_schema(18) as url,
        Turnspit(proxy.url(url)) as app,
        Turnspit(url) as elsewhere,
    ):

        @app.task
        async def double(number: int) -> int:
            return number * 2

        elsewhere.task(double.function)
        app.migrate()

        def is_connected() -> bool:
            opened = app.engine._open  # type: ignore[attr-defined]
            return opened is not None and opened.beside._thread.answered_since > 0

        with app.worker():
            wait_until(is_connected, "a connection for what ends")
            proxy.refusing = True
            assert elsewhere.tasks["double"].enqueue(4).get_result(DEADLINE) == 8
            proxy.pass_on()
