"""Measurement of processes, from the figures of the kernel, and of responses, with a cheap client."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from copier.errors import DirtyLocalWarning

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 60.0
"""Seconds that a server may take to its first answer, and then to its end."""

REFUSAL_PAUSE = 1.0
"""Seconds that a client waits after a 503. Retry-After has the same value."""


class BenchmarkError(Exception):
    """An error that stops a benchmark. Its message is one line for the user."""


def command(main: Callable[[], None]) -> None:
    """Run a benchmark. Remove its processes and files at the end, also after an error or an interruption."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.simplefilter("ignore", DirtyLocalWarning)
    try:
        main()
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None


@dataclass(frozen=True)
class Cost:
    """Seconds that a command took. The processor time includes its child processes."""

    wall: float
    cpu: float


def run(command: Sequence[str | Path], cwd: Path, **variables: str) -> Cost:
    """Run a command to its end.

    Raises:
        BenchmarkError: it failed; the end of its output tells why.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=environment_with(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that all of it can be stopped
    ) as process:
        assert process.stdout
        try:
            output = process.stdout.read().decode(errors="replace")
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _kill_group(process.pid)
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"{output[-3000:]}\nfailed: {' '.join(map(str, command))}")
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


def environment_with(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with others' settings; byte code is written, as an image has it."""
    environment = {**os.environ, **variables}
    for name in ("PYTHONDONTWRITEBYTECODE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "args"):
        environment.pop(name, None)  # with the others, `make bench args=…` would pass its arguments on to other makes
    return environment


@dataclass(frozen=True)
class Memory:
    """Memory of a process and its child processes, in megabytes (10⁶ bytes)."""

    rss: float
    pss: float
    """A page that n processes share counts as 1/n page for each."""


class Server:
    """A server process and its child processes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int = 0) -> None:
        self._process = process
        self.port = port
        self.pid = process.pid
        self.start = Cost(0, 0)
        """Cost from the start of the process to its first healthy response."""

    def cpu(self) -> float:
        """Seconds of the processor until now."""
        ticks = 0
        for pid in self._tree():
            # The name, in parentheses, may hold spaces: utime and stime are the 14th and 15th field.
            ticks += sum(map(int, _read(pid, "stat").rpartition(")")[2].split()[11:13]))
        return ticks / TICKS

    def memory(self) -> Memory:
        totals: Counter[str] = Counter()
        for pid in self._tree():
            for line in _read(pid, "smaps_rollup").splitlines()[1:]:
                name, kilobytes = line.split()[:2]
                totals[name] += int(kilobytes)
        return Memory(rss=totals["Rss:"] * 1024 / 1e6, pss=totals["Pss:"] * 1024 / 1e6)

    def _tree(self) -> list[int]:
        pids = [self._process.pid]
        for pid in pids:  # grows while it is walked
            pids += map(int, _read(pid, f"task/{pid}/children").split())
        return pids


def _read(pid: int, name: str) -> str:
    return Path("/proc", str(pid), name).read_text("utf-8")


@contextmanager
def serving(
    command: Sequence[str | Path], cwd: Path, port: int, health: str, variables: Mapping[str, str]
) -> Iterator[Server]:
    """Start a server, wait for its first healthy answer, and stop it at the end.

    Args:
        health: the path whose 200 tells that it is ready.

    Raises:
        BenchmarkError: it ended, or did not answer in time.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=environment_with(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that all of it can be stopped
    )
    try:
        while not is_healthy(port, health):
            if process.poll() is not None or time.perf_counter() - started > PATIENCE:
                shown = " ".join(map(str, command))
                raise BenchmarkError(f"does not serve (status {process.poll()}): {shown} in {cwd}")
            time.sleep(0.005)
        wall = time.perf_counter() - started
        server = Server(process, port)
        server.start = Cost(wall, server.cpu())
        yield server
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            _kill_group(process.pid)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_healthy(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(12).endswith(b" 200")
    except OSError:
        return False


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Http:
    """One keep-alive connection that costs the client next to nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._closing = False

    @property
    def closed(self) -> bool:
        """Return true if the server closed the connection, or announced this in its last answer."""
        return self._closing or self._reader.at_eof()

    async def __aenter__(self) -> Http:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def request(self, method: str, path: str, body: bytes = b"", authorization: str = "") -> int:
        """Send a request and read all of its answer; its status is returned."""
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: x",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *([f"Authorization: {authorization}"] if authorization else []),
        )
        self._writer.write("\r\n".join((*lines, "", "")).encode() + body)
        response = await self._reader.readuntil(b"\r\n\r\n")
        self._closing = b"\r\nconnection: close" in response.lower()
        length = int(response.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        await self._reader.readexactly(length)
        return int(response[9:12])


ROWS = 20_000
"""Rows of the table during requests: more than the cache of a service holds."""


def row_id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012x}"


@dataclass(frozen=True)
class Route:
    """A request to a service. `{id}` in its path stands for the id of a random one of the rows."""

    method: str
    path: str
    body: Callable[[], bytes] = bytes
    status: int = 200
    authorization: str = ""
    rows: int = ROWS

    def target(self) -> str:
        return self.path.replace("{id}", row_id(random.randint(1, self.rows)))


@dataclass
class Load:
    """Result of many requests."""

    answers: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    """Milliseconds of the answers that were wanted, the shortest first."""

    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Wanted answers per second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_per_answer(self) -> float:
        """Microseconds of the server's processor time."""
        return self.cpu / self.answers.total() * 1e6

    def percentile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


def load(server: Server, route: Route, clients: int, *, seconds: float = 0, requests: int = 0) -> Load:
    """Let clients send requests one after the other, for a number of seconds or a total number of requests.

    Raises:
        BenchmarkError: an answer is neither what was asked for nor a refusal.
    """
    return load_all([server], route, clients, seconds=seconds, requests=requests)


def load_all(servers: Sequence[Server], route: Route, clients: int, *, seconds: float = 0, requests: int = 0) -> Load:
    """Do the same as `load` with several servers, among which the clients are distributed."""
    return asyncio.run(_load(servers, route, clients, seconds or float("inf"), requests or 2**63))


async def _load(servers: Sequence[Server], route: Route, clients: int, seconds: float, requests: int) -> Load:
    result = Load()
    left = requests
    begun, cpu = time.perf_counter(), sum(server.cpu() for server in servers)

    async def ask(server: Server) -> None:
        nonlocal left
        async with Http(server.port) as client:
            while left > 0 and time.perf_counter() - begun < seconds:
                left -= 1
                started = time.perf_counter()
                status = await client.request(route.method, route.target(), route.body(), route.authorization)
                result.answers[status] += 1
                if status == route.status:
                    result.latencies.append((time.perf_counter() - started) * 1000)
                elif status == 503:
                    await asyncio.sleep(REFUSAL_PAUSE)
                else:
                    raise BenchmarkError(f"{route.method} {route.path} was answered {status}")

    await asyncio.gather(*(ask(servers[number % len(servers)]) for number in range(clients)))
    result.seconds, result.cpu = time.perf_counter() - begun, sum(server.cpu() for server in servers) - cpu
    result.latencies.sort()
    if not result.latencies:
        raise BenchmarkError(f"{route.method} {route.path} was never answered {route.status}")
    return result


def open_and_close(server: Server, route: Route, connections: int) -> None:
    """Send one request on each of the given number of connections, ten at a time."""

    async def work() -> None:
        for _ in range(connections // 10):
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(once())

    async def once() -> None:
        async with Http(server.port) as client:
            await client.request(route.method, route.target(), route.body(), route.authorization)

    asyncio.run(work())
