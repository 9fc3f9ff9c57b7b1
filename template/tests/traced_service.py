"""Serves the package that it is given, with routes that use the database and tell what was imported."""

import logging
import sys
from importlib import import_module

from fastapi import FastAPI
from sqlalchemy import text

package = sys.argv[1]
settings = import_module(f"{package}.config").get_settings()
app: FastAPI = import_module(f"{package}.main").create_app(settings)
logger = import_module(f"{package}.logs").get_logger("mine")


@app.get("/traced")
async def traced() -> list[str]:
    async with app.state.database.session() as session:
        await session.execute(text("SELECT 1"))
    logger.info("answered", count=1, password="hunter2")
    logging.getLogger("theirs").warning("Answered %s times", 1)
    return [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]


@app.get("/broken")
async def broken() -> None:
    async with app.state.database.session() as session:
        await session.execute(text("SELECT hunter2"))


if __name__ == "__main__":
    import_module(f"{package}.__main__").Server(app, settings).run()
