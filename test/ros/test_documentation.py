"""What the documentation promises about the node's parameters and about files is so."""

import re
from pathlib import Path

import pytest

from tpf_ros.parameters import parameters

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_parameter_page_lists_all_parameters_with_their_defaults():
    lines = (ROOT / "docs/parameters.md").read_text().splitlines()
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")[:2]) for line in lines if line.startswith("| `")]
    fixed = {True: "", False: "*"}
    wanted = [(f"`{info.name}`{fixed[info.live and not info.read_only]}", shown(info.default)) for info in parameters()]
    assert rows == wanted


def shown(default) -> str:
    if isinstance(default, tuple):
        return f"[{', '.join(f'{number:g}' for number in default)}]"
    return str(default).lower() if isinstance(default, bool) else str(default)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_parameters_that_are_mentioned_exist(page):
    names = {info.name for info in parameters()}
    groups = {name.partition(".")[0] for name in names if "." in name}
    mentioned = {name for name in re.findall(r"`([a-z_]+\.[a-z_]+)[`:]", page.read_text()) if name.partition(".")[0] in groups}
    assert mentioned <= names
