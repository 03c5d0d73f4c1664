"""The commands, thin: what is asked of the portal, and what counts as reached."""
