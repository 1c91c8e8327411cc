"""The error of an image message that cannot be used."""


class BadImage(ValueError):
    """An image message is malformed or of an unknown encoding; the text says what is wrong and what is accepted."""
