"""What a `tpf` verb raises for the user to read: printed as one line, without a traceback."""

INTERRUPTED = 130  # the shell's exit status for SIGINT


class CommandError(Exception):
    """A failure that the user can do something about. `code` is the exit status: 2 for input that cannot be used."""

    def __init__(self, message: str, code: int = 2):
        super().__init__(message)
        self.code = code
