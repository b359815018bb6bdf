"""What is sent. The tasks are imported here too, before the app can be found."""

from django.db import models


class Letter(models.Model):
    """To one person."""

    to = models.CharField(max_length=100)
    sent = models.BooleanField(default=False)

    class Meta:
        app_label = "mail"


from tests.contrib.mail import tasks as tasks  # noqa: E402, PLC0414  (it imports the model)
