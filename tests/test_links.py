"""Links lead to files and headings that exist, and no file holds markers of a merge conflict."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})(?:\s|$)", re.MULTILINE)
FENCED = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MENTION = re.compile(r"(?<![\w/.$*}%-])((?:[\w.-]+/)+[\w-]+\.(?:py|md|ipynb)\b(?:#[\w-]+)?)")


def tracked() -> list[Path]:
    """The files under version control; without git, all that are not in hidden folders."""
    command = ["git", "ls-files", "-z"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name for name in names.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if "/." not in path.as_posix()]
    return sorted(path for path in paths if path.is_file())


def text_of(path: Path) -> str:
    """A file's text; empty for a binary file."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", errors="replace")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for title in HEADING.findall(FENCED.sub("", page.read_text())):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = base = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{base}-{number}"
        found.add(anchor)
    return found


def leads_somewhere(link: str, page: Path, folders: Iterable[Path]) -> bool:
    """Whether a link names a file in one of the folders, and one of its headings if it asks."""
    target, _, anchor = link.partition("#")
    paths = [folder / target for folder in folders] if target else [page]
    path = next((path for path in paths if path.exists()), None)
    return path is not None and (not anchor or anchor in anchors(path))


def dead_links(file: Path) -> Iterator[str]:
    """Relative links of a page, and paths in the text of a page or program, that lead nowhere.

    A path may start in the file's folder, in one above it, or in the package.
    """
    text, folders = text_of(file), (*file.parents, ROOT, ROOT / "cosseg_jax")
    if file.suffix in (".md", ".ipynb"):
        for link in LINK.findall(FENCED.sub("", text)):
            if "://" not in link and not leads_somewhere(link, file, [file.parent]):
                yield link
    for mention in MENTION.findall(LINK.sub("", text)):
        if not leads_somewhere(mention, file, folders):
            yield mention


def test_no_file_holds_conflict_markers():
    found = {str(p.relative_to(ROOT)) for p in tracked() if CONFLICT.search(text_of(p))}
    assert found == set()


@pytest.mark.parametrize("mark", ["<" * 7 + " HEAD", "=" * 7, ">" * 7 + " theirs"])
def test_conflict_markers_are_recognised(mark):
    assert CONFLICT.search(f"before\n{mark}\nafter")
    assert not CONFLICT.search(f"before\n {mark}\nafter")


def test_links_lead_somewhere():
    files = [path for path in tracked() if path.suffix in (".md", ".py", ".ipynb")]
    found = {str(file.relative_to(ROOT)): dead for file in files if (dead := [*dead_links(file)])}
    assert found == {}


def test_dead_links_are_recognised(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One page\n[a](page.md#one-page) [b](#one-page) [c](https://x.org/y.md)\n"
        "[d](gone.md) [e](#two) see lost/" + "gone.py and docs/README.md\n```\n# Two\n```\n"
    )
    assert list(dead_links(page)) == ["gone.md", "#two", "/".join(("lost", "gone.py"))]


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert {name for name in pages if f"({name}" not in index} == {"README.md"}
