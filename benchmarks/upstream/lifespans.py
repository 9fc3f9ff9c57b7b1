# /// script
# dependencies = ["fastapi==0.165.0"]
# ///
"""An application with more than about 400 routers does not start: `RecursionError`.

`include_router` nests the lifespan of each router in those before, also if it has none. It could leave out the default
lifespan of a router without handlers. Until then, routers can be grouped: the depth is that of the largest group.
"""

import asyncio

from fastapi import APIRouter, FastAPI


async def starts(count: int, group: int = 1) -> bool:
    app = FastAPI()
    for _ in range(count // group):
        routers = APIRouter()
        for _ in range(group if group > 1 else 0):
            routers.include_router(APIRouter())
        app.include_router(routers)
    try:
        async with app.router.lifespan_context(app):
            return True
    except RecursionError:
        return False


async def main() -> None:
    for count in range(250, 401, 10):
        if not await starts(count):
            break
    print(f"starts with {count - 10} routers, but not with {count}")
    print(f"starts with 500 routers in groups of 25: {await starts(500, 25)}")


if __name__ == "__main__":
    asyncio.run(main())
