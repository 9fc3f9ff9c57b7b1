"""Tests of the item routes: count, times, cursors, conditional requests and HEAD."""

import pytest
from httpx2 import AsyncClient

ITEMS = "/api/v1/items"


async def test_count_changes_after_each_commit(client: AsyncClient) -> None:
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 0}
    created = await client.post(ITEMS, json={"name": "Teapot"})
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 1}
    assert (await client.delete(created.headers["Location"])).status_code == 204
    assert (await client.get(f"{ITEMS}/count")).json() == {"count": 0}


async def test_links_behind_a_prefix_can_be_followed(client: AsyncClient) -> None:
    client._transport.root_path = "/shop"  # type: ignore[attr-defined]
    for name in ("Teapot", "Kettle"):
        created = await client.post(f"/shop{ITEMS}", json={"name": name})
        assert created.headers["Location"] == f"/shop{ITEMS}/{created.json()['id']}"
        assert (await client.get(created.headers["Location"])).json() == created.json()
    first = await client.get(f"/shop{ITEMS}", params={"limit": 1})
    following = await client.get(first.links["next"]["url"])
    assert following.url.path == f"/shop{ITEMS}"
    assert [page.json()["items"][0]["name"] for page in (first, following)] == ["Teapot", "Kettle"]


@pytest.mark.parametrize(
    ("name", "method", "status"), [("If-None-Match", "GET", 304), ("If-Match", "DELETE", 204)], ids=["GET", "DELETE"]
)
async def test_each_line_of_a_header_counts(client: AsyncClient, name: str, method: str, status: int) -> None:
    created = await client.post(ITEMS, json={"name": "Teapot"})
    headers = [(name, '"0"'), (name, created.headers["ETag"])]
    assert (await client.request(method, created.headers["Location"], headers=headers)).status_code == status


async def test_times_are_in_utc(client: AsyncClient) -> None:
    item = (await client.post(ITEMS, json={"name": "Teapot"})).json()
    assert all(item[name].endswith("Z") for name in ("created_at", "updated_at"))


async def test_cursor_of_the_opposite_order_returns_422(client: AsyncClient) -> None:
    for name in ("Teapot", "Kettle"):
        assert (await client.post(ITEMS, json={"name": name})).status_code == 201
    cursor = (await client.get(ITEMS, params={"limit": 1})).json()["next"]
    assert (await client.get(ITEMS, params={"after": cursor})).status_code == 200
    assert (await client.get(ITEMS, params={"after": cursor, "sort": "-id"})).status_code == 422


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [("{etag}", 304), ("W/{etag}", 304), ('"0", W/{etag} ,"9"', 304), ("*", 304), ('"0"', 200), ('W/"0","9"', 200)],
)
async def test_read_takes_a_list_of_etags(client: AsyncClient, method: str, if_none_match: str, status: int) -> None:
    created = await client.post(ITEMS, json={"name": "Teapot"})
    etag = created.headers["ETag"]
    headers = {"If-None-Match": if_none_match.format(etag=etag)}
    response = await client.request(method, created.headers["Location"], headers=headers)
    assert (response.status_code, response.headers["ETag"]) == (status, etag)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("if_match", "changed"),
    [("{etag}", True), ('"0", {etag},"9"', True), ("*", True), ("W/{etag}", False), ('"0", W/{etag}', False)],
)
async def test_change_takes_a_list_of_strong_etags(
    client: AsyncClient, method: str, if_match: str, changed: bool
) -> None:
    created = await client.post(ITEMS, json={"name": "Teapot"})
    headers = {"If-Match": if_match.format(etag=created.headers["ETag"])}
    data = {"description": "Stout"} if method == "PATCH" else None
    response = await client.request(method, created.headers["Location"], headers=headers, json=data)
    assert response.status_code == ((200 if data else 204) if changed else 412)


async def test_head_of_items_has_the_length_of_get(client: AsyncClient) -> None:
    created = await client.post(ITEMS, json={"name": "Teäpot"})
    await client.post(ITEMS, json={"name": "Kettle"})
    missing = created.headers["Location"][:-4] + "0000"
    for path in (ITEMS, f"{ITEMS}?limit=1", created.headers["Location"], missing, f"{ITEMS}/count"):
        quoted = {"X-Request-ID": "quoted"}
        get, head = await client.get(path, headers=quoted), await client.head(path, headers=quoted)
        assert (head.status_code, head.content, head.headers) == (get.status_code, b"", get.headers)
        assert head.headers["Content-Length"] == str(len(get.content))
