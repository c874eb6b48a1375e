"""Error for a body that could not be read."""


class Unread(Exception):
    """Something in a body that the model cannot express; the message is the reason a person reads."""
