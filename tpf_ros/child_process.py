"""A process that this one starts, watches and ends, with its output in a log file."""

import os
import signal
import subprocess
from pathlib import Path


class ChildFailed(RuntimeError):
    """A child process ended, or did not do what it should; the message ends with the last lines of its log."""


class ChildProcess:
    """`command` as a process in a session of its own, so that a Ctrl-C in the terminal reaches only its parent.

    Standard error goes to `log`, standard output too unless `pipe`; then `stdin` and `stdout` are pipes of text lines.
    """

    def __init__(self, name: str, command: list[str], log: Path, pipe: bool = False):
        self.name, self.log = name, log
        with open(log, "w") as file:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else file,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def is_running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """ChildFailed if the process has ended."""
        if not self.is_running():
            raise self.failure(f"ended with exit code {self._process.returncode}")

    def failure(self, what: str) -> ChildFailed:
        """The exception to raise, with the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return ChildFailed(
            f"the {self.name} {what}; the end of {self.log}:\n" + "\n".join(f"  {line}" for line in lines)
        )

    def stop(self, timeout: float = 15.0) -> None:
        """SIGTERM, and SIGKILL for one that has not ended after `timeout` seconds."""
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
