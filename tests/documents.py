"""Documents that say what to do, followed to the letter.

These fences are steps, in the order in which they are read:

| fence | what is done |
|---|---|
| `console` | bash runs the lines as they are: one shell for the document, stopped by the first failure |
| `text` | the commands before it have to print these lines; `…` stands for anything |
| `diff`, after "In `path`:" | the file's lines are replaced; they must be found once. `@@` separates places |
| another, after "In `path`:" | is written to a file that was not there |
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from conftest import Environment

FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
IN_FILE = re.compile(r"\bIn\s`(?P<path>[^`]+)`:\s*$")
PICTURES = {"mermaid", ""}
PROGRAMS = (
    "alembic cp curl docker git kubectl lint-imports make "
    "pg_dump pg_restore pgbouncer pipx pre-commit psql python rm uv uvx"
)
COMMAND = re.compile(rf"(?:[A-Z_]+=\S*\s+)*(?:{'|'.join(PROGRAMS.split())})\s\S.*", re.DOTALL)


class Step(NamedTuple):
    kind: str
    text: str
    path: str = ""


class Instead(NamedTuple):
    """What is done in the place of what a document says, where that cannot be done in a test."""

    said: str
    done: str
    why: str


def steps(document: str) -> Iterator[Step]:
    end = 0
    for fence in FENCE.finditer(document):
        before, end = document[end : fence.start()], fence.end()
        kind, text, found = fence["kind"], fence["text"], IN_FILE.search(before)
        assert not fence["indent"], f"indented, so that nothing would be the same: {fence[0]}"
        if kind in PICTURES:
            continue
        assert kind in ("console", "text") or found, f"a fence that does not say what it is for:\n{fence[0]}"
        yield Step(kind, text, found["path"] if found and kind not in ("console", "text") else "")


def inline_commands(document: str) -> list[str]:
    """What the text names between its fences, in its order."""
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", document)))
    return list(dict.fromkeys(span for span in spans if COMMAND.fullmatch(span)))


def replaced(text: str, instead: tuple[Instead, ...]) -> str:
    text = text.replace("\\\n", " ")
    for said, done, _ in instead:
        text = re.sub(said, done, text, flags=re.MULTILINE)
    return text


PRELUDE = """
set -euo pipefail
trap 'echo "failed: $BASH_COMMAND"' ERR
stop() { if [ -n "${SERVER_PROCESS:-}" ]; then kill -INT -- "-$SERVER_PROCESS" 2>/dev/null || true
  wait "$SERVER_PROCESS" || true; SERVER_PROCESS=; fi; }
trap stop EXIT
serve() {
  stop
  setsid "$@" </dev/null & SERVER_PROCESS=$!
  for _ in $(seq 600); do
    if curl --silent --fail --output /dev/null "http://127.0.0.1:$PORT/health/db"; then return; fi
    kill -0 "$SERVER_PROCESS"; sleep 0.1
  done
  return 1
}
"""


class NotAsWrittenError(AssertionError):
    """Following a document leads elsewhere than it says."""


def follow(
    document: str,
    project: Path,
    instead: tuple[Instead, ...] = (),
    prelude: str = "",
    **variables: str,
) -> None:
    """Do what a document says, inside of a project.

    Raises:
        NotAsWrittenError: a step failed, or printed something else.
    """
    outputs = project.parent / "outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    outputs.mkdir()
    todo = [step._replace(text=replaced(step.text, instead)) for step in steps(document)]
    script = [PRELUDE, prelude]
    for number, step in enumerate(todo):
        output = outputs / f"{number:02}"
        if step.kind == "console":
            script.append(f"exec >{shlex.quote(str(output))} 2>&1\n{step.text}")
        elif step.kind != "text":
            content = output.with_suffix(".step")
            content.write_text(step.text, "utf-8")
            action = "edit" if step.kind == "diff" else "create"
            script.append(shlex.join([sys.executable, __file__, action, step.path, str(content)]) + "\n")
    finished = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=project,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    printed = {path.name: path.read_text("utf-8", "replace") for path in sorted(outputs.iterdir()) if not path.suffix}
    if finished.returncode != 0:
        everything = finished.stdout + "".join(f"--- step {name}\n{text}" for name, text in printed.items())
        raise NotAsWrittenError(f"status {finished.returncode}\n{everything[-10000:]}")
    for number, (step, following) in enumerate(pairwise([*todo, Step("", "")])):
        if following.kind == "text":
            assert step.kind == "console", f"printed by what? {following.text}"
            check_printed(printed[f"{number:02}"], following.text)


def check_printed(printed: str, expected: str) -> None:
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        if not re.search(f"^{pattern}$", printed, re.MULTILINE):
            raise NotAsWrittenError(f"not printed: {line}\n{printed[-10000:]}")


def edit(path: Path, change: str) -> None:
    """Make the edit of a `diff` fence; the path may be a pattern that fits one file."""
    (path,) = Path().glob(str(path))
    for hunk in re.split(r"^@@.*\n", change, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        assert all(line[0] in " +-\n" for line in lines), hunk
        # An empty line of the file is one in the fence too: no space at its end.
        before, after = ("".join(line[line[0] != "\n" :] for line in lines if line[0] != sign) for sign in "+-")
        # Whole lines, of which the first may be the file's first.
        text = "\n" + path.read_text("utf-8")
        if (found := text.count(f"\n{before}")) != 1:
            sys.exit(f"{path} has these lines {found} times:\n{before}")
        path.write_text(text.replace(f"\n{before}", f"\n{after}")[1:], "utf-8")


def create(path: Path, text: str) -> None:
    if path.exists():
        sys.exit(f"{path} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def install(project: Path, environment: Environment) -> None:
    """Give a project the `.venv` that `make` would make, from an environment that is there.

    Files are linked, not copied; what installs into it later replaces them and leaves the other as it was.
    """
    source, target = environment.bin.parent, project / ".venv"
    shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    for script in [*(target / "bin").iterdir()]:
        if script.is_file() and not script.is_symlink():
            content = script.read_bytes()
            if str(source).encode() in content:
                mode = script.stat().st_mode
                script.unlink()
                script.write_bytes(content.replace(str(source).encode(), str(target).encode()))
                script.chmod(mode)
    (packages,) = target.glob("lib/python*/site-packages")
    (packages / "project.pth").write_text(f"{project / 'src'}\n", "utf-8")
    (target / "complete").unlink()
    (target / ".installed").touch()


if __name__ == "__main__":
    action, name, content = sys.argv[1:]
    {"edit": edit, "create": create}[action](Path(name), Path(content).read_text("utf-8"))
