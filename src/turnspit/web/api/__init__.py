"""The JSON API: everything the screens do, for programs in any language."""

from turnspit.web.api.operations import OPERATIONS
from turnspit.web.api.routes import api_routes

__all__ = ["OPERATIONS", "api_routes"]
