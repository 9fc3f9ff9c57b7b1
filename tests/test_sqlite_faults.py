"""Run the real service on an SQLite file, and fill its disk, delete or replace the file, or make it read-only."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from answers import CORNERS
from conftest import EnvironmentOf, Render
from faulty_service import DOWN, HEALTHY, SLACK, as_root, health, migrate, mounted
from processes import Service, serving, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.faults]

IN_TIME = 2 + 5 * SLACK
"""Seconds until health notices a failure, or its end."""


def statuses(running: Service, name: str) -> tuple[int, int]:
    """Return the statuses of a read and a write. A failure has the form that clients expect."""
    read = running.get("/api/v1/items")
    written = running.client.post("/api/v1/items", json={"name": name})
    for response in (read, written):
        assert response.status_code < 300 or response.headers["retry-after"] == "1"
    return read.status_code, written.status_code


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as full, suppress(OSError):
        while full.write(b"x" * 4096):
            pass


def test_sqlite_faults_are_503_and_fail_readiness(project: Render, environment: EnvironmentOf, tmp_path: Path) -> None:
    service = project(**CORNERS["sqlite-example"])
    python = environment(service)
    disk = tmp_path / "disk"
    file, backup, filler = disk / "service.db", tmp_path / "backup.db", disk / "filler"
    url = f"sqlite:///{file}"
    with mounted(disk, "-t", "tmpfs", "-o", "size=4M,mode=777", "tmpfs"):
        migrate(service, python, url)
        with serving(service, python, url) as running:
            assert statuses(running, "saved") == (200, 201)
            with sqlite3.connect(file) as source, sqlite3.connect(backup) as target:
                source.backup(target)
            assert health(running) == HEALTHY

            fill(filler)
            assert statuses(running, "x" * 100) == (200, 503)
            wait_until(lambda: health(running) == DOWN, IN_TIME)
            filler.unlink()
            assert statuses(running, "after the disk was full") == (200, 201)
            wait_until(lambda: health(running) == HEALTHY, IN_TIME)

            for path in disk.glob("service.db*"):
                path.unlink()
            assert statuses(running, "lost") == (503, 503)
            wait_until(lambda: health(running) == DOWN, IN_TIME)
            shutil.copy(backup, file)
            assert statuses(running, "after the restore") == (200, 201)
            wait_until(lambda: health(running) == HEALTHY, IN_TIME)
            shutil.copy(backup, disk / "new.db")
            (disk / "new.db").rename(file)
            for path in disk.glob("service.db-*"):
                path.unlink()
            assert statuses(running, "after the second restore") == (200, 201)
            names = {item["name"] for item in running.get("/api/v1/items").json()["items"]}
            assert names == {"saved", "after the second restore"}
            assert health(running) == HEALTHY
            assert "Traceback" not in running.output()

        with serving(service, python, url) as running:
            assert health(running) == HEALTHY
            as_root("mount", "--bind", disk, disk)
            try:
                as_root("mount", "-o", "remount,bind,ro", disk)
                assert statuses(running, "refused") == (200, 503)
                wait_until(lambda: health(running) == DOWN, IN_TIME)
            finally:
                as_root("umount", "--lazy", disk)
            wait_until(lambda: health(running) == HEALTHY, IN_TIME)
            assert statuses(running, "after the repair") == (200, 201)
            assert "Traceback" not in running.output()


def test_service_stops_while_it_probes_the_file(project: Render, environment: EnvironmentOf, tmp_path: Path) -> None:
    service = project(**CORNERS["sqlite-bare"])
    python = environment(service)
    url = f"sqlite:///{tmp_path / 'service.db'}"
    for signals in (1, 2, 1, 2):
        with serving(service, python, url, HEALTH_CHECK_INTERVAL="0.001") as running:
            for _ in range(signals):
                running.process.terminate()
            # A thread of aiosqlite that is left over would keep the process alive.
            assert running.process.wait(5) == 0
            assert "Traceback" not in running.output()
