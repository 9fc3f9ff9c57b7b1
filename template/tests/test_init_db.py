"""scripts/init_db.py, as its users run it."""

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import make_url


def init_db(url: str, *arguments: str, answer: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/init_db.py", *arguments],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "DATABASE_URL": url, **environment},
        input=answer,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_second_run_changes_nothing(empty_database: str) -> None:
    missing = f"{empty_database}_new"
    first = init_db(missing, "--seed")
    assert first.returncode == 0, first.stderr
    assert "created" in first.stdout
    second = init_db(missing, "--seed")
    assert second.returncode == 0, second.stderr
    assert "exists" in second.stdout
    assert "(0 new" in second.stdout


def test_a_reset_asks_and_begins_anew(empty_database: str) -> None:
    assert init_db(empty_database, "--seed").returncode == 0
    refused = init_db(empty_database, "--reset", answer="n\n")
    assert refused.returncode == 1
    assert "(0 new" in init_db(empty_database, "--seed").stdout
    reset = init_db(empty_database, "--reset", "--seed", answer="y\n")
    assert reset.returncode == 0, reset.stderr
    assert "emptied" in reset.stdout


def test_production_is_never_reset(empty_database: str) -> None:
    finished = init_db(empty_database, "--reset", "--yes", ENVIRONMENT="production", SECRET_KEY="x" * 32)
    assert finished.returncode == 1
    assert "production" in finished.stderr


def test_a_missing_server_is_said_in_a_line(empty_database: str) -> None:
    url = make_url(empty_database)
    nowhere = url.set(port=1) if url.port else url.set(database="/proc/nowhere/test.db")
    finished = init_db(nowhere.render_as_string(hide_password=False))
    assert finished.returncode == 1
    assert "DATABASE_URL" in finished.stderr
    assert "Traceback" not in finished.stderr
