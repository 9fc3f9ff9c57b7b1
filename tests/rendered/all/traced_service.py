"""Serve the application with two extra routes: one lists imported modules of OpenTelemetry, one fails."""

import logging
import sys

from sqlalchemy import text

from my_service.__main__ import Server
from my_service.config import get_settings
from my_service.logs import get_logger
from my_service.main import create_app

settings = get_settings()
app = create_app(settings)
logger = get_logger("service")


@app.get("/traced")
async def traced() -> list[str]:
    async with app.state.database.session() as session:
        await session.execute(text("SELECT 1"))
    logger.info("answered", count=1, password="hunter2")
    logging.getLogger("library").warning("Answered %s times", 1)
    return [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]


@app.get("/broken")
async def broken() -> None:
    async with app.state.database.session() as session:
        await session.execute(text("SELECT hunter2"))


if __name__ == "__main__":
    Server(app, settings).run()
