"""A folder with settings files in it, for the tests of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.config import ConfigError, Settings
from mailbridge.config_load import load


class Folder:
    """A folder with settings files in it, and an environment to read them in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ: dict[str, str] = {}

    @property
    def file(self) -> Path:
        return self.path / "mailbridge.toml"

    def write(self, name: str, text: str | bytes, mode: int = 0o600) -> Path:
        file = self.path / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)
        return file

    def load(self, text: str | bytes) -> Settings:
        return load(self.write("mailbridge.toml", text), self.environ)

    def problems(self, text: str | bytes) -> list[str]:
        """Each problem of a file, without the file's name (which every one must begin with)."""
        with pytest.raises(ConfigError) as caught:
            self.load(text)
        lines = [str(problem) for problem in caught.value.problems]
        assert str(caught.value).splitlines() == lines
        assert all(line.startswith(f"{self.path}/") for line in lines)
        return [line.removeprefix(f"{self.file}: ") for line in lines]

    def problem(self, text: str | bytes) -> str:
        (line,) = self.problems(text)
        return line


def with_rules(folder: Folder, rules: str) -> str:
    """Settings that name a rules file with this content."""
    folder.write("rules.toml", rules)
    return "[tickets]\nrules_file = 'rules.toml'\n"
