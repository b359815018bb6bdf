"""The dashboard and the JSON API: ``app.dashboard()`` and ``turnspit dashboard``. Needs ``turnspit[dashboard]``."""

from turnspit.web.copying import CommandLine
from turnspit.web.dashboard import Dashboard
from turnspit.web.opening import TOKEN, make_dashboard
from turnspit.web.origins import LOOPBACK
from turnspit.web.permissions import Permission

__all__ = ["LOOPBACK", "TOKEN", "CommandLine", "Dashboard", "Permission", "make_dashboard"]
