"""The catalog: versions registered by us or found in the registry, and what the registry is told.

The registry owns its numbers and artifacts, the tag `semantic_version` carries our number, and the rows
mirror both.
"""

from releases.services.catalog.announcing import announce
from releases.services.catalog.discovery import discover, look_where_asked, poll
from releases.services.catalog.hearing import forget as forget_messages
from releases.services.catalog.hearing import hear
from releases.services.catalog.registering import register_version

__all__ = ["announce", "discover", "forget_messages", "hear", "look_where_asked", "poll", "register_version"]
