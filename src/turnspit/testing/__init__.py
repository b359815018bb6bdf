"""The test kit: a private store for each test, with a clock that the test owns.

::

    from turnspit import testing

    def test_an_order_is_confirmed():
        with testing.override(app) as t:
            place_order(7)
            t.assert_enqueued(send_confirmation, order_id=7)
            t.drain()
            assert outbox == ["ada@example.com"]

The jobs are real: they are stored in a SQLite file in a temporary folder, claimed, run and finished as a worker
does it. Nothing runs in the background: jobs run when ``drain`` or ``run_one`` says so, and time passes when
``advance`` says so. With pytest, the fixture ``turnspit_store`` is ``t``; see ``docs/testing.md``.
"""

from turnspit.testing.clock import TestClock
from turnspit.testing.context import TestContext, context
from turnspit.testing.override import override
from turnspit.testing.ran import RanJob
from turnspit.testing.store import TestStore

__all__ = ["RanJob", "TestClock", "TestContext", "TestStore", "context", "override"]
