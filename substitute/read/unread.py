"""Error for a body that could not be read."""


class Unread(Exception):
    """A body that the model cannot express; the message is the reason shown to the user."""
