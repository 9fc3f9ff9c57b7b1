"""Execute the fenced blocks of a document as steps, in their order.

| fence | step |
|---|---|
| `console` | Run the lines in bash. All blocks of a document share one shell. The first error stops it. |
| `text` | Check that the block before it printed these lines. `…` stands for any text. |
| `diff`, after "In `path`:" | Replace lines of the file. They must occur once. `@@` separates the places. |
| any other, after "In `path`:" | Write a new file. |
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
    """Replacement for a command or value of a document that a test cannot use as it is."""

    said: str
    done: str
    why: str


def steps(document: str) -> Iterator[Step]:
    end = 0
    for fence in FENCE.finditer(document):
        before, end = document[end : fence.start()], fence.end()
        kind, text, found = fence["kind"], fence["text"], IN_FILE.search(before)
        assert not fence["indent"], f"A fence must not be indented:\n{fence[0]}"
        if kind in PICTURES:
            continue
        assert kind in ("console", "text") or found, (
            f"This fence needs a line 'In `path`:' before it, or the kind console or text:\n{fence[0]}"
        )
        yield Step(kind, text, found["path"] if found and kind not in ("console", "text") else "")


def inline_commands(document: str) -> list[str]:
    """Return the commands in `code spans` outside the fences, in their order."""
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
    """A step of a document failed, or did not print the text that the document shows."""


def follow(
    document: str,
    project: Path,
    instead: tuple[Instead, ...] = (),
    prelude: str = "",
    **variables: str,
) -> None:
    """Execute the steps of a document in a project.

    Args:
        document: the text of the document.
        project: the directory to run in.
        instead: replacements in the steps.
        prelude: bash code to run before the first step.
        variables: environment variables of the commands.

    Raises:
        NotAsWrittenError: a step failed, or did not print the text that the document shows.
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
        raise NotAsWrittenError(f"The commands ended with status {finished.returncode}.\n{everything[-10000:]}")
    for number, (step, following) in enumerate(pairwise([*todo, Step("", "")])):
        if following.kind == "text":
            assert step.kind == "console", f"A `text` fence must follow a `console` fence:\n{following.text}"
            check_printed(printed[f"{number:02}"], following.text)


def check_printed(printed: str, expected: str) -> None:
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        if not re.search(f"^{pattern}$", printed, re.MULTILINE):
            raise NotAsWrittenError(f"The commands did not print this line: {line}\n{printed[-10000:]}")


def edit(path: Path, change: str) -> None:
    """Apply a `diff` fence to a file. The path may be a glob pattern that matches one file."""
    (path,) = Path().glob(str(path))
    for hunk in re.split(r"^@@.*\n", change, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        assert all(line[0] in " +-\n" for line in lines), (
            f"Each line of a diff fence must start with a space, + or -:\n{hunk}"
        )
        # An empty line in the fence means an empty line of the file: editors remove the leading space.
        before, after = ("".join(line[line[0] != "\n" :] for line in lines if line[0] != sign) for sign in "+-")
        # The added line feed lets the search match whole lines, including the first line of the file.
        text = "\n" + path.read_text("utf-8")
        if (found := text.count(f"\n{before}")) != 1:
            sys.exit(f"{path} must have these lines once, but has them {found} times:\n{before}")
        path.write_text(text.replace(f"\n{before}", f"\n{after}")[1:], "utf-8")


def create(path: Path, text: str) -> None:
    if path.exists():
        sys.exit(f"{path} exists already.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def install(project: Path, environment: Environment) -> None:
    """Create the `.venv` of a project from an existing environment, as `make` would create it.

    Files are hard links. A later installation replaces them and does not change the existing environment.
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
