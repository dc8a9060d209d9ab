"""The layers hold: import-linter's contracts, and what they cannot see."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "mailbridge" / "core").glob("*.py"))


def test_the_import_contracts_hold() -> None:
    """cli and daemon above edge above service above store above core; core pure; only the store speaks SQL."""
    # A process of its own: import-linter sets up logging for itself.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.name)
def test_core_reads_no_clock_and_waits_for_nothing(path: Path) -> None:
    """`now` comes as an argument; nothing is awaited, opened or printed."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path.name}:{node.lineno}: awaits"
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            assert name not in {"now", "utcnow", "today", "print", "open", "input"}, (
                f"{path.name}:{node.lineno}: calls {name}()"
            )


def test_no_file_of_the_package_names_a_machine() -> None:
    """Nothing of one machine, and nothing unfinished, is in the tree."""
    for path in (ROOT / "mailbridge").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for trace in ("/root/", "/home/", "FIXME", "NotImplementedError"):
            assert trace not in text, f"{path}: {trace}"
