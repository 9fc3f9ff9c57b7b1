"""Output in a thread, so that nobody waits for the reader of the log."""

import atexit
import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import sleep

MAXIMUM_QUEUED = 5_000_000  # characters
BATCH_TIME = 0.02  # seconds in which the thread collects lines: each switch between threads delays requests
DRAIN_TIMEOUT = 1.0  # seconds that the exit of the process waits for queued lines


class LineWriter:
    """An output stream that never blocks and never raises.

    It drops lines beyond `MAXIMUM_QUEUED` characters, and lines that the operating system refuses.

    Args:
        descriptor: the file descriptor to write to.
        on_dropped: called with the number of dropped lines when writing works again.
    """

    def __init__(self, descriptor: int, on_dropped: Callable[[int], object]) -> None:
        self._descriptor = descriptor
        self._on_dropped = on_dropped
        self._dropped = 0
        self._accepted = self._written = 0  # characters
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._write_lines, name="log-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: str) -> None:
        if self._accepted - self._written < MAXIMUM_QUEUED:
            self._accepted += len(line)
            self._lines.put(line)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Do nothing: the thread writes the lines after `BATCH_TIME`."""

    def close(self) -> None:
        """Write the queued lines, for at most `DRAIN_TIMEOUT`."""
        self._lines.put(None)
        self._thread.join(DRAIN_TIMEOUT)

    def _write_lines(self) -> None:
        lines: list[str | None] = []
        while None not in lines:
            lines = [self._lines.get()]
            sleep(BATCH_TIME)
            lines += [self._lines.get() for _ in range(self._lines.qsize())]
            text = "".join(filter(None, lines))
            if not self._write_all(text.encode(errors="backslashreplace")):
                self._dropped += len(lines)
            elif self._dropped:
                dropped, self._dropped = self._dropped, 0
                self._on_dropped(dropped)
            self._written += len(text)

    def _write_all(self, data: bytes) -> bool:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another process has made the pipe or terminal non-blocking
                sleep(BATCH_TIME)
            except OSError:
                return False
        return True
