"""Jobs that a Django ``TestCase`` runs: its transaction is never committed, and they find its models all the same."""

from pathlib import Path

import pytest

from tests.contrib.programs import manage, write_settings
from tests.postgres import new_database

CASES = """
from django.db import IntegrityError, transaction
from django.test import TestCase
from examples.django_shop.shop.jobs import app, send_confirmation
from examples.django_shop.shop.models import Order
from turnspit import Retry
from turnspit.testing import override

@app.task
async def confirm(order_id: int) -> None:
    order = await Order.objects.aget(pk=order_id)
    order.confirmed = True
    await order.asave()

@app.task(retry=Retry(attempts=1))
def place_again(order_id: int) -> None:
    with transaction.atomic():
        Order.objects.create(pk=order_id)

@app.task
def wait_for_confirm(order_id: int) -> bool:
    confirm.enqueue(order_id).get_result(timeout=20)
    return Order.objects.get(pk=order_id).confirmed

class Running(TestCase):
    def setUp(self):
        self.t = self.enterContext(override(app))
        self.assertEqual(Order.objects.count(), 0)
        self.order = Order.objects.create(email="ada@example.com")

    def test_plain(self):
        send_confirmation.enqueue(self.order.pk)
        self.t.drain(reraise=True)
        self.order.refresh_from_db()
        self.assertTrue(self.order.confirmed)

    def test_async(self):
        confirm.enqueue(self.order.pk)
        self.t.drain(reraise=True)
        self.order.refresh_from_db()
        self.assertTrue(self.order.confirmed)

    def test_an_error_rolls_back_to_its_savepoint(self):
        job = place_again.enqueue(self.order.pk)
        self.assertIsInstance(self.t.run_one(job).error, IntegrityError)
        self.assertEqual(Order.objects.count(), 1)

    async def test_both_in_an_async_test(self):
        for task in (send_confirmation, confirm):
            await Order.objects.aupdate(confirmed=False)
            await task.aenqueue(self.order.pk)
            await self.t.adrain(reraise=True)
            await self.order.arefresh_from_db()
            self.assertTrue(self.order.confirmed)

    def test_with_a_worker(self):
        with app.worker(concurrency=4):
            for job in [send_confirmation.enqueue(self.order.pk) for _ in range(8)]:
                job.get_result(timeout=20)
        self.order.refresh_from_db()
        self.assertTrue(self.order.confirmed)

    def test_with_a_worker_whose_jobs_wait_for_each_other(self):
        with app.worker(concurrency=4):
            self.assertTrue(wait_for_confirm.enqueue(self.order.pk).get_result(timeout=20))
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_jobs_find_what_their_test_has_made(folder: Path, engine: str) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "__init__.py").touch()
    (folder / "more" / "tests.py").write_text(CASES)
    url = new_database() if engine == "postgres" else f"sqlite:///{folder}/shop.db"
    write_settings(folder, url, "INSTALLED_APPS.append('more')\n")
    answer = manage(folder, "test", "--noinput", "more")
    assert answer.returncode == 0, answer.stderr
    assert "Ran 6 tests" in answer.stderr
