"""The one way to change a release, an endpoint's hold or a policy: permission, change, audit together.

One module per kind of mutation; pages, API and shell call the same functions.
"""

from releases.services.commands.acting import act, allowed_acts
from releases.services.commands.approving import decide_approval
from releases.services.commands.endpoints import lift_hold, return_to_previous
from releases.services.commands.filing import check_request, file_release
from releases.services.commands.settings import add_environment, add_model, change_environment

__all__ = [
    "act",
    "add_environment",
    "add_model",
    "allowed_acts",
    "change_environment",
    "check_request",
    "decide_approval",
    "file_release",
    "lift_hold",
    "return_to_previous",
]
