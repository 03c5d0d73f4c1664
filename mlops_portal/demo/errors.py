"""What can go wrong in the demo, as sentences for the person who started it."""


class StoryFailed(Exception):
    """The story cannot go on; the message says why and is printed without a traceback."""
