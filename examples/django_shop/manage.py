"""Turnspit in Django: an order and its job are stored in one ``atomic()``.

python -m examples.django_shop.manage migrate
python -m examples.django_shop.manage place_order ada@example.com     order 1 accepted, job 1 is ready
python -m examples.django_shop.manage turnspit worker --until-empty
python -m examples.django_shop.manage turnspit jobs list
python -m examples.django_shop.manage test examples.django_shop
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_shop.settings")
    execute_from_command_line(sys.argv)
