"""Output in a thread, so that nobody waits for the reader of the log."""

import atexit
import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import sleep

MAXIMUM_QUEUED = 5_000_000  # characters
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
        self._queued = 0
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._write_lines, name="log-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: str) -> None:
        size = len(line)  # a call within the addition would let another thread interrupt it
        if self._queued < MAXIMUM_QUEUED:
            self._queued += size
            self._lines.put(line)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Do nothing, as every line is written at once."""

    def close(self) -> None:
        """Write the queued lines, for at most `DRAIN_TIMEOUT`."""
        self._lines.put(None)
        self._thread.join(DRAIN_TIMEOUT)

    def _write_lines(self) -> None:
        while (line := self._lines.get()) is not None:
            size, data = len(line), line.encode(errors="backslashreplace")
            self._queued -= size
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:  # another process has made the pipe or terminal non-blocking
                    sleep(0.01)
                except OSError:
                    self._dropped += 1
                    break
            else:
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._on_dropped(dropped)
