"""Logs whose reader is slow or gone, or whose file system is full."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import httpx2
import pytest
from processes import SERVE, serving, wait_for

from my_service.utils.line_writer import MAXIMUM_QUEUED, LineWriter

LINE = "x" * 99 + "\n"
SMALL_PIPE = 4096  # bytes
WRITE_LINES = f"""
from my_service.utils.line_writer import LineWriter
lines = LineWriter(1, print)
for _ in range(5000):
    lines.write({LINE!r})
"""


def nobody_reads(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, SMALL_PIPE)


def reader_leaves(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    process.stdout.close()
    process.stdout = None  # `communicate` cannot read it


@pytest.mark.usefixtures("empty_database")
@pytest.mark.parametrize("prepare", [nobody_reads, reader_leaves])
def test_service_answers_and_stops_without_a_reader_of_its_log(
    prepare: Callable[[subprocess.Popen[str]], None],
) -> None:
    with serving(*SERVE, ENVIRONMENT="development") as (process, url), httpx2.Client() as client:
        prepare(process)
        for _ in range(2 * SMALL_PIPE // 100):
            assert client.get(f"{url}/docs").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_every_line_is_written_or_reported_as_dropped() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SMALL_PIPE)
    dropped: list[int] = []
    lines = LineWriter(writer, dropped.append)
    fitting = MAXIMUM_QUEUED // len(LINE)
    for _ in range(fitting + 1000):
        lines.write(LINE)
    received = bytearray()

    def read() -> None:
        while data := os.read(reader, 65536):
            received.extend(data)

    thread = Thread(target=read)
    thread.start()
    lines.close()
    os.close(writer)
    thread.join()
    os.close(reader)
    assert len(dropped) == 1
    assert dropped[0] > 1000 - 2 * SMALL_PIPE // len(LINE)
    assert received == LINE.encode() * (fitting + 1000 - dropped[0])


def test_lines_for_a_non_blocking_pipe_wait_for_its_reader() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    lines = LineWriter(writer, print)
    for _ in range(5000):
        lines.write(LINE)
    received = bytearray()

    def are_received() -> bool:
        with suppress(BlockingIOError):
            received.extend(os.read(reader, 65536))
        return received == LINE.encode() * 5000

    wait_for(are_received, "Lines are missing.")
    lines.close()
    os.close(reader)
    os.close(writer)


def test_queue_of_large_lines_is_small() -> None:
    reader, writer = os.pipe()
    dropped: list[int] = []
    lines = LineWriter(writer, dropped.append)
    for _ in range(100):
        lines.write("x" * (MAXIMUM_QUEUED // 10))
    assert lines._dropped == 90
    os.close(reader)
    lines.close()
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is missing; it is part of Linux")
def test_lines_on_a_full_file_system_are_reported_when_there_is_space() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    dropped: list[int] = []
    lines = LineWriter(full, dropped.append)
    lines.write(LINE)
    wait_for(lambda: lines._dropped == 1, "The line was not dropped.")
    with Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), full)
    lines.write(LINE)
    lines.close()
    assert dropped == [1]


def test_exit_writes_the_queued_lines() -> None:
    finished = subprocess.run([sys.executable, "-c", WRITE_LINES], capture_output=True, text=True, check=True)
    assert finished.stdout == LINE * 5000


def test_exit_does_not_wait_for_a_reader() -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE_LINES], stdout=subprocess.PIPE) as process:
        assert process.wait(10) == 0
