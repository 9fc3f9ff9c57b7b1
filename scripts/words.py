"""Find phrases that are hard to read, by the rules in words.toml: `make words`.

make words                check this repository, and list sentences with more than 25 words
make words args=--brief   check, and only count these sentences

Exit status 1 if there is a phrase. A long sentence is only a warning. Files with Jinja are not checked here:
tests/test_words.py checks the files that they render.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MAX_WORDS = 25
SKIPPED = re.compile(r"(LICENSE|uv\.lock|words\.toml|test_words\.py|[\w-]*requirements[\w-]*\.txt|.*\.svg)$")
"""Names of files with text that is generated or legal, or with phrases for tests."""

UNREAD = re.compile(r"^licenses/|\.(jinja|patch|png)$")

GAP = r"[\s#]+"
"""White space between words, also between lines of a comment."""

COMMENT = re.compile(r"(?:^|\s)#+ (.*)|^ +help: (.*)")  # `help` is the text of a question in copier.yml
FENCE_OR_CODE = re.compile(r"^ *```.*?^ *```$|`[^`]+`", re.MULTILINE | re.DOTALL)
BLOCK_END = re.compile(r"^[ \t]*$|^[ \t]*(?:[-*#>]+|\d+\.|\w+:)(?=\s)|\||(?<=\S) {3,}(?=\S)", re.MULTILINE)
SENTENCE = re.compile(r"\w[^\0]*?(?:[.!?](?=[\s\"')]|\Z)|(?=\0)|\Z)")

Passage = tuple[str, int, str]
"""The kind of a text (docstring, comment, markdown, heading or string), its first line, and the text."""

Finding = tuple[int, str, str]
"""Line, phrase and remedy."""


class Rule(NamedTuple):
    kind: str
    pattern: re.Pattern[str]
    use: str
    bad: list[str]
    good: list[str]


@cache
def rules() -> list[Rule]:
    rows = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))["rules"]
    for row in rows:
        start = r"\A" if "in" in row else r"\b"
        row["find"] = re.compile(rf"{start}(?:{row['find']})(?!\w)".replace(" ", GAP), re.IGNORECASE)
    return [Rule(row.get("in", ""), row["find"], row["use"], row["bad"], row.get("good", [])) for row in rows]


def passages(name: str, text: str) -> Iterator[Passage]:
    """Return the texts in a file. Only Python is parsed: a phrase of English does not occur in other code."""
    if name.endswith(".py"):
        nodes = list(ast.walk(ast.parse(text)))
        docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield "docstring" if node in docstrings else "string", node.lineno, node.value
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        yield from joined((*token.start, token.string[2:]) for token in tokens if token.type == tokenize.COMMENT)
        return
    yield "string", 1, text
    if name.endswith(".md"):
        prose = FENCE_OR_CODE.sub(lambda code: re.sub(r"[^\n]+", "x", code[0]), text)
        yield "markdown", 1, prose
        for heading in re.finditer(r"^#+ (.*)$", prose, re.MULTILINE):
            yield "heading", prose.count("\n", 0, heading.start()) + 1, heading[1]
    else:
        comments = ((number, COMMENT.search(line)) for number, line in enumerate(text.splitlines(), 1))
        yield from joined((number, found.start(), found[1] or found[2] or "") for number, found in comments if found)


def joined(comments: Iterable[tuple[int, int, str]]) -> Iterator[Passage]:
    """Join comments in the same column of adjacent lines. Each has its line, column and text."""
    block: list[tuple[int, int, str]] = []
    for comment in [*comments, (0, 0, "")]:
        if block and comment[:2] != (block[-1][0] + 1, block[-1][1]):
            yield "comment", block[0][0], "\n".join(text for *_, text in block)
            block = []
        block.append(comment)


@cache
def check(name: str, text: str) -> tuple[list[Finding], list[Finding]]:
    """Return the phrases in a file, and its long sentences."""
    if SKIPPED.match(name):
        return [], []
    phrases, sentences = set(), set()
    for kind, line, passage in passages(name, text):
        for rule in rules():
            for match in rule.pattern.finditer(passage) if rule.kind in ("", kind) else ():
                phrases.add((line + passage.count("\n", 0, match.start()), re.sub(GAP, " ", match[0]), rule.use))
        for match in SENTENCE.finditer(BLOCK_END.sub("\0", passage)) if kind != "string" else ():
            if (words := len(re.findall(r"\S*\w\S*", match[0]))) > MAX_WORDS:
                start = " ".join(match[0].split()[:6])
                sentences.add((line + passage.count("\n", 0, match.start()), f"{start} …", f"{words} words"))
    return sorted(phrases), sorted(sentences)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make words", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--brief", action="store_true", help="only count the long sentences")
    brief = parser.parse_args().brief
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    messages, total = [], 0
    for path in (Path(name) for name in names if (ROOT / name).is_file() and not UNREAD.search(name)):
        phrases, long = check(re.sub(r"\{%.*?%\}", "", path.name), (ROOT / path).read_text("utf-8"))
        messages += [f"{path}:{line}: {phrase!r}. Instead: {remedy}" for line, phrase, remedy in phrases]
        total += len(long)
        if long and not brief:
            print(
                f"{path}: {len(long)}", *(f"  line {line}, {words}: {start}" for line, start, words in long), sep="\n"
            )
    print(f"Warning: {total} sentences have more than {MAX_WORDS} words.", "`make words` lists them." * brief)
    if messages:
        sys.exit("\n".join(messages))


if __name__ == "__main__":
    main()
