"""Turnspit in Django: ``"turnspit.contrib.django"`` in ``INSTALLED_APPS``, and ``TURNSPIT`` in the settings.

::

    TURNSPIT = {"APP": "shop.jobs.app"}     # shop/jobs.py: app = Turnspit()

Jobs are stored in the database ``default``. Inside its ``atomic()`` whatever is asked of the app is part of that
transaction.
"""
