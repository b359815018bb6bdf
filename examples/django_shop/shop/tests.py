"""A ``TestCase`` sees the jobs of its test and rolls them back with everything else."""

from django.core.exceptions import ValidationError
from django.test import TestCase, TransactionTestCase

from examples.django_shop.shop.jobs import app, send_confirmation
from examples.django_shop.shop.models import Order
from examples.django_shop.shop.orders import place_order
from turnspit import testing


class PlacingAnOrder(TestCase):
    """Each test begins with a shop without orders and jobs."""

    def test_an_order_has_its_job(self) -> None:
        order, job = place_order("ada@example.com")
        self.assertEqual([each.args for each in app.jobs.list()], [{"order_id": order.pk}])
        self.assertEqual(app.jobs.get(job.id).state, "ready")

    def test_an_order_that_is_refused_has_none(self) -> None:
        with self.assertRaises(ValidationError):
            place_order("nobody")
        self.assertEqual((Order.objects.count(), app.jobs.count()), (0, 0))

    def test_the_task_is_a_function(self) -> None:
        order = Order.objects.create(email="ada@example.com")
        self.assertEqual(send_confirmation(order.pk), "confirmed to ada@example.com")
        order.refresh_from_db()
        self.assertTrue(order.confirmed)


class WithTheTestKit(TestCase):
    def test_an_order_is_confirmed(self) -> None:
        with testing.override(app) as t:
            order, _ = place_order("ada@example.com")
            t.assert_enqueued(send_confirmation, order_id=order.pk)

    def test_by_a_clock(self) -> None:
        with testing.override(app) as t:
            order, _ = place_order("ada@example.com")
            t.drain(reraise=True)
        order.refresh_from_db()
        self.assertTrue(order.confirmed)


class Running(TransactionTestCase):
    def test_a_worker_confirms_it(self) -> None:
        self.addCleanup(app.jobs.delete, all=True)
        order, _ = place_order("ada@example.com")
        app.run_worker(until_empty=True)
        order.refresh_from_db()
        self.assertTrue(order.confirmed)
