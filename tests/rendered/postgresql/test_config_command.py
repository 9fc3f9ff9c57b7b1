"""Test of the `config` command with a PostgreSQL URL."""

import pytest
from click.testing import CliRunner

from my_service.__main__ import main
from my_service.config import get_settings


def test_config_command_masks_the_database_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@localhost/name")
    get_settings.cache_clear()
    shown = CliRunner().invoke(main, ["config"]).output
    get_settings.cache_clear()
    assert "://user:***@localhost/name\n" in shown
    assert "hunter2" not in shown
