"""Tests of passwords and email addresses that cannot be stored or hashed."""

from typing import Any

import pytest
from httpx2 import AsyncClient

PASSWORDS = [r"correct\ud800horse battery", r"correct\u0000horse battery", r"\udfff\ud800 horse battery"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("path", ["/auth/register", "/auth/token"])
async def test_password_that_cannot_be_encoded_returns_422(client: AsyncClient, path: str, password: str) -> None:
    body = f'{{"email": "ada@example.com", "password": "{password}"}}'
    response = await client.post(f"/api/v1{path}", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert [error["location"] for error in response.json()["errors"]] == ["body.password"]
    assert "horse" not in response.text


@pytest.mark.parametrize("name", ["current_password", "new_password"])
async def test_changed_password_that_cannot_be_encoded_returns_422(client: AsyncClient, name: str) -> None:
    values: dict[str, Any] = {"current_password": "correct horse", "new_password": "correct horse battery"}
    body = ", ".join(f'"{key}": "{PASSWORDS[0] if key == name else value}"' for key, value in values.items())
    headers = {"Content-Type": "application/json"}
    response = await client.put("/api/v1/auth/me/password", content=f"{{{body}}}", headers=headers)
    assert response.status_code == 422
    assert [error["location"] for error in response.json()["errors"]] == [f"body.{name}"]


@pytest.mark.parametrize("token", ["%00", "\ud800".encode("utf-8", "surrogatepass"), b"\xff" * 20, "a.b.c", "9" * 5000])
async def test_unusual_token_returns_401(client: AsyncClient, token: str | bytes) -> None:
    value = b"Bearer " + (token.encode() if isinstance(token, str) else token)
    response = await client.get("/api/v1/auth/me", headers={b"Authorization": value})
    assert response.status_code == 401
