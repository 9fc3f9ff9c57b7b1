"""Make the pictures in docs/ from a real run of the last commit: `make pictures`.

It needs git, make, npm and Chromium.

terminal.svg        the output of commands in a terminal; long output is cut, with a mark
documentation.png   the documentation page of the started service, in a headless Chromium
fleet.png           a page of `standfast fleet`, only if its path is the argument: `make example-fleet`

The page loads Swagger UI from a content delivery network. The script gives the browser the same files from the npm
registry instead, because some machines can reach only package registries.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Route, sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
WIDTH = 118
URL = "http://127.0.0.1:8000"
CDN = re.compile(r"https://cdn\.jsdelivr\.net/npm/swagger-ui-dist@(\d+)/(.*)")


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    if sys.argv[1:]:
        screenshot_of_file(Path(sys.argv[1]), DOCS / "fleet.png")
        return
    if is_ready():
        raise SystemExit(f"Another service is running at {URL}. Stop it first.")
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with TemporaryDirectory() as directory:
        clone = clone_to(Path(directory) / "template")
        service = Path(directory) / "my-service"
        show(console, clone, "make new DEST=../my-service DEFAULTS=1", lines=5)
        show(console, clone, "cd ../my-service && git init -q -b main && git add -A && git commit -q -m Start")
        show(console, service, "make test", lines=4)
        with serving(console, service):
            show(console, service, f"curl {URL}/health/ready")
            show(console, service, f'curl {URL}/api/v1/items --json \'{{"name": "tea"}}\'')
            screenshot(Path(directory), DOCS / "documentation.png")
    svg = console.export_svg(title="From nothing to a tested service", unique_id="terminal")
    # Pages that show the picture may not load a font from another server.
    (DOCS / "terminal.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), "utf-8")


def clone_to(clone: Path) -> Path:
    """Clone the last commit, and link this repository's environment into the clone."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    (clone / ".venv").symlink_to(ROOT / ".venv")
    os.utime(clone / "requirements.txt", (0, 0))  # older than .venv, so that make does not install again
    return clone


def environment() -> dict[str, str]:
    """Return the environment variables of a new user, without the settings of this user."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYENV_ROOT") if name in os.environ}
    identity = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in AUTHOR.items()}
    return {**kept, **identity, "TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LANG": "C.UTF-8"}


AUTHOR = {"NAME": "Ada", "EMAIL": "ada@example.com"}


def show(console: Console, cwd: Path, command: str, lines: int = 20) -> None:
    """Run a command in a terminal, and print the command and the last lines of its output."""
    prompt(console, command)
    output = on_a_terminal(command, cwd).rstrip().splitlines()
    if len(output) > lines:
        console.print(Text(f"[… {len(output) - lines} lines]", style="dim italic"))
    for line in output[-lines:]:
        console.print(Text.from_ansi(line))
    console.print()


def prompt(console: Console, command: str) -> None:
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))


def on_a_terminal(command: str, cwd: Path) -> str:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        ["bash", "-c", f"stty cols {WIDTH}; {command}"],
        cwd=cwd,
        env=environment(),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    ) as process:
        os.close(follower)
        output = b"".join(read_all(leader))
        if process.wait():
            raise SystemExit(f"{command}\n{output.decode()}")
    os.close(leader)
    return output.decode().replace("\r\n", "\n")


def read_all(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux raises it at the end of the output
            return
        if not chunk:
            return
        yield chunk


@contextmanager
def serving(console: Console, service: Path) -> Iterator[None]:
    """Run `make dev` in the background, and print the lines of its log about the start."""
    prompt(console, "make dev &")
    with (service.parent / "log").open("w+") as log:
        process = subprocess.Popen(
            ["make", "dev"],
            cwd=service,
            env=environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while not is_ready():
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit((service.parent / "log").read_text())
                time.sleep(0.2)
            for line in (service.parent / "log").read_text().splitlines():
                if "started" in line or "running on" in line.lower():
                    console.print(Text.from_ansi(line))
            console.print()
            yield
        finally:
            os.killpg(process.pid, 2)
            process.wait()


def is_ready() -> bool:
    try:
        with urllib.request.urlopen(f"{URL}/health/ready", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def find_chromium() -> str:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is not installed. Run: apt-get install chromium")
    return chromium


def screenshot_of_file(page_file: Path, picture: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 1250})
        page.goto(page_file.absolute().as_uri())
        page.screenshot(path=picture)
        browser.close()
    reduce_colors(picture)


def screenshot(directory: Path, picture: Path) -> None:
    packages: dict[str, Path] = {}

    def serve_from_npm(route: Route) -> None:
        found = CDN.fullmatch(route.request.url)
        assert found, route.request.url
        version, name = found.groups()
        if version not in packages:
            packages[version] = package(directory, f"swagger-ui-dist@{version}")
        route.fulfill(path=packages[version] / name)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.route(CDN, serve_from_npm)
        page.route(re.compile("https://fastapi"), lambda route: route.abort())  # icon of the browser tab
        page.goto(f"{URL}/docs")
        page.get_by_role("heading", name="items").wait_for()
        page.screenshot(path=picture)
        browser.close()
    reduce_colors(picture)


def reduce_colors(picture: Path) -> None:
    """Write a picture again with 128 colors. Pages have few colors, so the difference is not visible."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)


def package(directory: Path, name: str) -> Path:
    packed = subprocess.run(
        ["npm", "pack", "--silent", name], cwd=directory, capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    with tarfile.open(directory / packed) as archive:
        archive.extractall(directory / "npm", filter="data")
    return directory / "npm" / "package"


if __name__ == "__main__":
    main()
