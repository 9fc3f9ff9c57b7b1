"""Tests of default settings and of the precedence of their sources."""

import json
import re
from pathlib import Path
from unittest.mock import Mock

import pytest
from pydantic import ValidationError

from my_service import PROJECT_ROOT
from my_service.config import (
    FALLBACK_DATABASE_URL,
    ConfigurationError,
    Environment,
    Settings,
    find_misspelled_variables,
    get_settings,
)
from my_service.main import create_app


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


def uncomment(heading: str) -> None:
    """Write `.env`: `.env.example`, with the lines after the heading without their `#`, to the next empty line."""
    before, found, after = (PROJECT_ROOT / ".env.example").read_text("utf-8").partition(heading)
    assert found
    block, rest = (after.partition("\n")[2] + "\n").split("\n\n", 1)
    assert all(line.startswith("# ") for line in block.splitlines())
    Path(".env").write_text("\n".join([before, *(line[2:] for line in block.splitlines()), rest]))


@pytest.mark.parametrize("heading", ["# Example for development", "# Example for production"])
def test_uncommented_example_overrides_the_defaults(monkeypatch: pytest.MonkeyPatch, heading: str) -> None:
    uncomment(heading)
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv")
    settings = get_settings()
    assert settings.environment == heading.rpartition(" ")[2]
    assert settings.cors_origins != []
    assert list(find_misspelled_variables()) == []


def test_each_example_url_can_be_uncommented() -> None:
    example = (PROJECT_ROOT / ".env.example").read_text("utf-8")
    urls = re.findall(r"^# (DATABASE_URL=\S+)$", example.partition("# Example")[0], re.MULTILINE)
    assert urls
    for line in urls:
        Path(".env").write_text(example.replace(f"# {line}\n", f"{line}\n", 1))
        shown = Settings().database_url.render_as_string(hide_password=False)
        assert shown.partition("://")[2] == line.partition("://")[2]


@pytest.mark.parametrize(
    "origin",
    ["*", "http://localhost:5173", "http://[::1]:3000", "capacitor://localhost", "https://xn--bcher-kva.example:444"],
)
def test_origin_is_accepted(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("CORS_ORIGINS", f"{origin.upper()}/" if origin != "*" else origin)
    assert get_settings().cors_origins == [origin]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("CORS_ORIGINS", value)
            for value in (
                "a.example",
                "https://",
                "https://a.example//",
                "https://a.example?",
                "https://a.example:443",
                "http://a.example:80/",
                "https://*.example",
                "https://ada@a.example",
                "https://bücher.example",
                "null",
                "'*'",
                '"https://a.example"',
                "https://a.example https://b.example",
            )
        ),
        *(
            ("ALLOWED_HOSTS", value)
            for value in ('["a.example"]', "https://a.example", "[::1]", "a.example/", "a.*.example", ".a.example b")
        ),
        *(("ROOT_PATH", value) for value in ("/", "shop", "//shop", "/shop//", "/shop?", "/bücher", "/sh op")),
    ],
)
def test_value_that_would_never_match_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"\n  {name}(\.0)?: must be "):
        get_settings()


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "POSTGRES_PORT", "PUBLISH", "COMPOSE_PROJECT_NAME", "HOSTNAME", "OTEL_LOG_LEVEL", "TZ"],
)
def test_variable_of_another_program_is_not_reported(name: str) -> None:
    Path(".env").write_text(f"{name}=1\n")
    assert list(find_misspelled_variables()) == []


def test_misspelled_variable_is_named_if_a_required_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("ENVIRONMENT=production\nDATABSE_URL=sqlite:////data/service.db\n")
    with pytest.raises(ConfigurationError, match=r"\n  DATABSE_URL: unknown\. Did you mean DATABASE_URL\?$"):
        get_settings()


@pytest.mark.usefixtures("restored_logging")
def test_misspelled_variable_is_logged_at_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_text("DATABSE_URL=1\n")
    create_app(Settings(environment=Environment.TEST, log_format="json"))
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["event"]) == ("warning", "unknown_variable")
    assert (line["variable"], line["did_you_mean"]) == ("DATABSE_URL", "DATABASE_URL")


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1
