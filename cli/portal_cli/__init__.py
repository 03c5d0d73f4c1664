"""The portal's command line: releases from a terminal or a pipeline.

Speaks to the portal over its REST API and to nothing else; imports nothing of the portal. The release lives
there: whatever happens to a process of this client, the release goes on.
"""

__version__ = "0.1.0"
