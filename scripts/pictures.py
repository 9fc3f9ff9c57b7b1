"""Make the pictures in docs/ from a real run of the last commit: `make pictures`.

It needs git, make, npm and Chromium.

terminal.svg        the output of commands of README.md in a terminal; long output is cut, with a mark
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
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Route, sync_playwright
from rich.console import Console
from rich.text import Text

from newcomer import ROOT, clone, environment, place_after, readme_commands, serving

DOCS = ROOT / "docs"
WIDTH = 118
SHOWN = [["uvx", "copier"], ["cd", "my-service"], ["make", "test"]]
"""Starts of the commands that the picture shows, besides `make dev`."""

URL = "http://127.0.0.1:8000"
CDN = re.compile(r"https://cdn\.jsdelivr\.net/npm/swagger-ui-dist@(\d+)/(.*)")


def main() -> None:
    if sys.argv[1:]:
        screenshot_of_file(Path(sys.argv[1]), DOCS / "fleet.png")
        return
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with TemporaryDirectory() as directory:
        cwd = Path(directory) / "work"
        cwd.mkdir()
        variables = environment(Path(directory) / "home", clone(Path(directory) / "template"))
        variables |= {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), "UV_NO_PROGRESS": "1"}
        for command in readme_commands():
            if command == "make dev":
                prompt(console, f"{command} &")
                log = Path(directory) / "log"
                with serving(command, cwd, variables, URL, log):
                    for line in log.read_text("utf-8").splitlines():
                        if "started" in line or "running on" in line.lower():
                            console.print(Text.from_ansi(line))
                    console.print()
                    show(console, cwd, variables, f"curl {URL}/health/ready")
                    show(console, cwd, variables, f'curl {URL}/api/v1/items --json \'{{"name": "tea"}}\'')
                    screenshot(Path(directory), DOCS / "documentation.png")
            elif command.split()[:2] in SHOWN:
                show(console, cwd, variables, command, lines=5)
            cwd = place_after(command, cwd)
    svg = console.export_svg(title="From nothing to a tested service", unique_id="terminal")
    # Pages that show the picture may not load a font from another server.
    (DOCS / "terminal.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), "utf-8")


def show(console: Console, cwd: Path, variables: dict[str, str], command: str, lines: int = 20) -> None:
    """Run a command in a terminal, and print the command and the last lines of its output."""
    command = command.replace("copier copy ", "copier copy --defaults ")
    prompt(console, command)
    output = on_a_terminal(command, cwd, variables).rstrip().splitlines()
    if len(output) > lines:
        console.print(Text(f"[… {len(output) - lines} lines]", style="dim italic"))
    for line in output[-lines:]:
        console.print(Text.from_ansi(line))
    console.print()


def prompt(console: Console, command: str) -> None:
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))


def on_a_terminal(command: str, cwd: Path, variables: dict[str, str]) -> str:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        ["bash", "-c", f"stty cols {WIDTH}; {command}"],
        cwd=cwd,
        env=variables,
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
