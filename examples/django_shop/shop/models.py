"""What the shop stores."""

from django.db import models


class Order(models.Model):
    """What a customer ordered."""

    email = models.EmailField()
    confirmed = models.BooleanField(default=False)
