"""Tests of default settings and of the precedence of their sources."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from pydantic import ValidationError

from my_service.config import FALLBACK_DATABASE_URL, ConfigurationError, Settings, get_settings


@pytest.fixture(autouse=True)
def no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()


def test_defaults_match_the_requirements() -> None:
    settings = Settings()
    assert settings.api_prefix == "/api/v1"
    assert settings.algorithm == "HS256"
    assert settings.access_token_expire_minutes == 30


def test_environment_overrides_secret_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    monkeypatch.setitem(Settings.model_config, "secrets_dir", secrets)
    (secrets / "port").write_text("9002")
    assert Settings().port == 9002
    monkeypatch.setenv("PORT", "9001")
    assert Settings().port == 9001


def test_unreadable_secret_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    (tmp_path / "secret_key").write_text("secret")
    # Root can read every file, so the test cannot use real permissions.
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=PermissionError(13, "Permission denied", "secret_key")))
    with pytest.raises(ConfigurationError, match=r"secret_key.*Permission denied"):
        get_settings()


def test_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert Settings().database_url.render_as_string() == FALLBACK_DATABASE_URL


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1
