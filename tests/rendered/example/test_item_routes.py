"""Tests of the item routes: cached count, times and pagination."""

import pytest
from httpx2 import AsyncClient

ITEMS = "/api/v1/items"


async def test_count_is_cached_across_requests(client: AsyncClient) -> None:
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 0}
    assert (await client.post(ITEMS, json={"name": "Teapot"})).status_code == 201
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 0}


async def test_times_are_in_utc(client: AsyncClient) -> None:
    item = (await client.post(ITEMS, json={"name": "Teapot"})).json()
    assert all(item[name].endswith("Z") for name in ("created_at", "updated_at"))


@pytest.mark.parametrize(("sort", "names"), [("id", "badce"), ("-id", "ecdab"), ("name", "abcde"), ("-name", "edcba")])
async def test_next_links_return_all_items_in_order(client: AsyncClient, sort: str, names: str) -> None:
    for name in "badce":
        assert (await client.post(ITEMS, json={"name": name})).status_code == 201
    response = await client.get(ITEMS, params={"limit": 2, "sort": sort})
    items = response.json()["items"]
    while response.json()["next"]:
        assert response.links["next"]["rel"] == "next"
        response = await client.get(response.links["next"]["url"])
        items += response.json()["items"]
    assert "".join(item["name"] for item in items) == names
    assert not response.links


@pytest.mark.parametrize("after", ["x", "é", "bnVsbA", "WyJpZCIsMSwyXQ", "WyJuYW1lIiwiYSIsImEiXQ"])
async def test_invalid_cursor_returns_404(client: AsyncClient, after: str) -> None:
    response = await client.get(ITEMS, params={"after": after})
    assert response.status_code == 404
    assert "does not exist" in response.json()["detail"]


async def test_cursor_of_the_opposite_order_returns_404(client: AsyncClient) -> None:
    for name in ("Teapot", "Kettle"):
        assert (await client.post(ITEMS, json={"name": name})).status_code == 201
    cursor = (await client.get(ITEMS, params={"limit": 1})).json()["next"]
    assert (await client.get(ITEMS, params={"after": cursor})).status_code == 200
    assert (await client.get(ITEMS, params={"after": cursor, "sort": "-id"})).status_code == 404
