"""Validation of a release, check by check, before anything is deployed.

One module per group of checks; `running` goes through them, `progress` tells the state machine how far.
"""

from releases.services.validate.running import progress, validate

__all__ = ["progress", "validate"]
