"""``manage.py place_order EMAIL``."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from examples.django_shop.shop.orders import place_order


class Command(BaseCommand):
    """A view would do the same."""

    help = "Accept an order"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the customer's address."""
        parser.add_argument("email")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        """Accept the order and say so."""
        try:
            order, job = place_order(email)
        except ValidationError as error:
            raise CommandError(f"order refused: {'; '.join(error.messages)}") from error
        self.stdout.write(f"order {order.pk} accepted, job {job.id} is {job.state}")
