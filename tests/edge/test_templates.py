"""Reading template files: ours, and an operator's instead of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.core.render import SAMPLES, TemplateError
from mailbridge.edge.templates import DEFAULT_DIR, load_templates


def test_an_operators_file_stands_for_ours_of_the_same_name(tmp_path: Path) -> None:
    """One changed greeting should not mean keeping copies of all templates."""
    (tmp_path / "solved.txt").write_text("Subject: Done [#{{ ticket_key }}]\n\nGrüße, {{ mailbox_name }}\n")
    (tmp_path / "solved.txt~").write_text("an editor's copy")
    templates = load_templates(DEFAULT_DIR, tmp_path)
    solved = templates.render("solved", SAMPLES["solved"])
    assert (solved.subject, solved.text) == ("Done [#ABCD-EFGH]", "Grüße, Support\n")
    assert "just reply" in solved.html
    assert templates.render("answer", SAMPLES["answer"]).subject.startswith("Re: ")


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("solved.txt", b"Subject: a\n\n{{ nobody }}\n", 3),
        ("solved.html", b"<p>\n{% if %}", 2),
        ("solevd.txt", b"Subject: a\n\n", 0),
        ("solved.txt", b"Subject: \xff\n\n", 0),
    ],
)
def test_a_bad_file_is_named_by_its_path_and_line(
    tmp_path: Path, file: str, content: bytes, line: int
) -> None:
    """`mailbridge check` prints it, so the operator opens the right file at the right place."""
    (tmp_path / file).write_bytes(content)
    with pytest.raises(TemplateError) as caught:
        load_templates(DEFAULT_DIR, tmp_path)
    assert caught.value.line == line
    assert (
        "solevd" in str(caught.value)
        if line == 0 and file == "solevd.txt"
        else str(tmp_path / file) in str(caught.value)
    )


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """A misspelt templates_dir must not silently mean ours."""
    with pytest.raises(TemplateError, match="nowhere"):
        load_templates(DEFAULT_DIR, tmp_path / "nowhere")
