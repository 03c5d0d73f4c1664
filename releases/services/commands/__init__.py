"""The one way to change a release, a hold, a policy or a mapping: permission, change, audit together.

One module per kind of mutation; pages, API and shell call the same functions.
"""

from releases.services.commands.acting import act, allowed_acts
from releases.services.commands.approving import decide_approval
from releases.services.commands.composing import compose_newer
from releases.services.commands.delivering import resend
from releases.services.commands.endpoints import lift_hold, return_to_previous
from releases.services.commands.filing import check_request, file_release
from releases.services.commands.place_changes import change_whole_environment
from releases.services.commands.places import (
    ask_for_examination,
    connect,
    disconnect,
    set_autoscaling,
    set_protection,
)
from releases.services.commands.settings import add_environment, add_model, change_environment
from releases.services.commands.traffic import add_service, remove_service, set_mapping, set_mappings
from releases.services.commands.traffic_keys import make_traffic_key, retire_traffic_key

__all__ = [
    "act",
    "add_environment",
    "add_model",
    "add_service",
    "allowed_acts",
    "ask_for_examination",
    "change_environment",
    "change_whole_environment",
    "check_request",
    "compose_newer",
    "connect",
    "decide_approval",
    "disconnect",
    "file_release",
    "lift_hold",
    "make_traffic_key",
    "remove_service",
    "resend",
    "retire_traffic_key",
    "return_to_previous",
    "set_autoscaling",
    "set_mapping",
    "set_mappings",
    "set_protection",
]
