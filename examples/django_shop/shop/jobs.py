"""What the shop does in the background. The jobs are in the database that ``DATABASES`` names."""

from examples.django_shop.shop.models import Order
from turnspit import Turnspit

app = Turnspit()


@app.task
def send_confirmation(order_id: int) -> str:
    """A plain task runs in a thread, with the ORM as in a view."""
    order = Order.objects.get(pk=order_id)
    order.confirmed = True
    order.save(update_fields=["confirmed"])
    return f"confirmed to {order.email}"
