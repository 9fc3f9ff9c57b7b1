"""Write the table of questions in README.md from copier.yml: `make questions`."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from copier import Settings, run_copy

import marked

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def table(root: Path = ROOT) -> str:
    """Return the table of the questions that Copier asks, with their default answers."""
    questions = yaml.safe_load((root / "copier.yml").read_text("utf-8"))
    answers = defaults(root)
    rows = ["| name | default | question |", "|---|---|---|"]
    for name, question in questions.items():
        if name.startswith("_") or question.get("when") is False or question.get("ask") is False:
            continue
        rows.append(f"| `{name}` | {cell(shown(answers[name], question))} | {cell(explained(question))} |")
    return "\n".join(rows) + "\n"


def defaults(root: Path) -> dict[str, Any]:
    """Return the default answers. Some defaults depend on other answers, so Copier computes them."""
    with TemporaryDirectory() as directory:
        source = Path(directory) / "source"
        # Outside of the git repository, Copier reads the working files instead of a commit.
        (source / "template").mkdir(parents=True)
        for path in (root / "copier.yml", *root.glob("*.jinja")):
            shutil.copy(path, source)
        rendered = run_copy(
            str(source), Path(directory) / "rendered", defaults=True, pretend=True, quiet=True, settings=Settings()
        )
        return dict(rendered.answers.combined)


def shown(answer: object, question: dict[str, Any]) -> str:
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    for label, value in choices(question).items():
        if value == answer:
            return label.partition(":")[0]
    return str(answer)


def explained(question: dict[str, Any]) -> str:
    parts = [question["help"]]
    if labels := list(choices(question)):
        parts.append("Choices: " + ", ".join(f'"{label}"' for label in labels))
    if condition := question.get("when"):
        parts.append(f"Asked only if `{condition.strip('{} ')}`")
    return ". ".join(part.rstrip(".") for part in parts).replace("?.", "?")


def choices(question: dict[str, Any]) -> dict[str, object]:
    given = question.get("choices", {})
    return given if isinstance(given, dict) else {str(value): value for value in given}


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def replaced(text: str, content: str) -> str:
    """Return the text of README.md with another table."""
    return marked.replaced(text, "questions", content)


if __name__ == "__main__":
    marked.write(README, "questions", table())
