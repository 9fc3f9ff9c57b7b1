"""Write the public address of this repository into the documents: `make address URL=https://…/standfast.git`.

The address stands in `[project.urls]` of pyproject.toml. The command writes the new address there, and replaces the
former address in README.md, docs/ and skills/. Without URL, it prints the address.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACEHOLDER = "https://git.example.com/"
NOTE = "`git.example.com` is a placeholder until there is a public address."
"""Start of the line in README.md that explains the placeholder."""


def address(root: Path = ROOT) -> str:
    """Return the address that users pass to `copier copy`."""
    found: str = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
    return found


def documents(root: Path = ROOT) -> list[Path]:
    """Return the documents of this repository for its users."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]


def skills(root: Path = ROOT) -> list[Path]:
    """Return the skills for coding agents, which clone and copy from the address."""
    return sorted((root / "skills").glob("**/*.md"))


def change(url: str, root: Path = ROOT) -> None:
    """Replace the address everywhere.

    Raises:
        SystemExit: Copier or uv would not take this address for a git repository.
    """
    if not re.fullmatch(r"https://[\w.:-]+/\S+\.git", url):
        sys.exit(f"{url!r} is not an address such as https://github.com/owner/standfast.git.")
    former = address(root)
    for path in (root / "pyproject.toml", *documents(root), *skills(root)):
        text = path.read_text("utf-8").replace(former, url)
        path.write_text(re.sub(f"^{re.escape(NOTE)}.*\n", "", text, flags=re.MULTILINE), "utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        change(sys.argv[1])
    print(address())
