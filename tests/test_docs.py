"""The README and the manual say the same as the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from mailbridge.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Every command: 'status', 'ticket list', ..."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    found = []
    for name, command in root.commands.items():
        inner = command.commands if isinstance(command, TyperGroup) else {}
        found += [f"{name} {verb}" for verb in inner] or [name]
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    """Who reads the table knows what there is."""
    noun, _, verb = command.partition(" ")
    rows = [line for line in README.splitlines() if line.startswith("|") and f"`{noun}" in line]
    assert rows, f"{noun} is not in the table"
    assert not verb or any(verb in row for row in rows), f"{command} is not in the table"


@pytest.mark.parametrize("target", ["run", "demo", "test", "check", "bench"])
def test_every_target_that_the_readme_names_exists(target: str) -> None:
    """And the other way round."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"\n{target}: setup" in makefile
    assert f"make {target}" in README


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    """Between our own pages."""
    import re

    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
