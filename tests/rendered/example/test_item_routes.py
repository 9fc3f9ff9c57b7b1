"""Tests of the item routes: count, times and cursors."""

from httpx2 import AsyncClient

ITEMS = "/api/v1/items"


async def test_count_changes_after_each_commit(client: AsyncClient) -> None:
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 0}
    created = await client.post(ITEMS, json={"name": "Teapot"})
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 1}
    assert (await client.delete(created.headers["Location"])).status_code == 204
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 0}


async def test_times_are_in_utc(client: AsyncClient) -> None:
    item = (await client.post(ITEMS, json={"name": "Teapot"})).json()
    assert all(item[name].endswith("Z") for name in ("created_at", "updated_at"))


async def test_cursor_of_the_opposite_order_returns_422(client: AsyncClient) -> None:
    for name in ("Teapot", "Kettle"):
        assert (await client.post(ITEMS, json={"name": name})).status_code == 201
    cursor = (await client.get(ITEMS, params={"limit": 1})).json()["next"]
    assert (await client.get(ITEMS, params={"after": cursor})).status_code == 200
    assert (await client.get(ITEMS, params={"after": cursor, "sort": "-id"})).status_code == 422
