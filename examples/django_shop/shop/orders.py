"""Accepting an order."""

from django.db import transaction

from examples.django_shop.shop.jobs import send_confirmation
from examples.django_shop.shop.models import Order
from turnspit import Job


def place_order(email: str) -> tuple[Order, Job[str]]:
    """Store an order and its job, both or none: the ``enqueue`` joins the transaction by itself.

    :raises ValidationError: if it cannot be accepted.
    """
    with transaction.atomic():
        order = Order.objects.create(email=email)
        job = send_confirmation.enqueue(order_id=order.pk)
        order.full_clean()
    return order, job
