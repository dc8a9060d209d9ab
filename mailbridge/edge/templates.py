"""Template files to a checked set of templates: ours, and an operator's in their place."""

from __future__ import annotations

from pathlib import Path

from mailbridge.core.render import TemplateError, Templates, check_templates

DEFAULT_DIR = Path(__file__).resolve().parent.parent / "templates"


def load_templates(default_dir: Path, override_dir: Path | None) -> Templates:
    """The templates of `default_dir`, each replaced by the file of the same name in `override_dir`, if any.

    Raises TemplateError, naming file and line, for a file that cannot be read, is no UTF-8, has a name that
    no mail has, is broken, or uses a name it is not given. Files neither .txt nor .html are left alone.
    """
    sources: dict[str, str] = {}
    places: dict[str, Path] = {}
    for folder in (default_dir, override_dir):
        for path in _files(folder) if folder else ():
            try:
                sources[path.name] = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise TemplateError(str(path), 0, f"cannot be read: {error}") from error
            places[path.name] = path
    try:
        templates = Templates(sources)
        check_templates(templates)
    except TemplateError as error:
        place = places.get(error.file)
        raise TemplateError(str(place or error.file), error.line, error.why) from error
    return templates


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix in {".txt", ".html"} and p.is_file())
    except OSError as error:
        raise TemplateError(str(folder), 0, f"cannot be read: {error.strerror}") from error
