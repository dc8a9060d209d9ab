"""The shipped settings files are the manual: complete, true, and working from a fresh checkout."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mailbridge.config import AgentEntry, Mailbox, Rule, Section, Settings
from mailbridge.config_load import load
from mailbridge.config_read import TABLES, model_of
from mailbridge.core.tokens import MAX_MAILBOX_LOCAL

SHIPPED = Path(__file__).parent.parent / "config"
MAIN = (SHIPPED / "mailbridge.toml").read_text()
_SETTING = re.compile(r"^#(?=[^ #])", re.MULTILINE)
MODELS: dict[str, type[Section]] = {
    **{name: model_of(name) for name in TABLES},
    "mailbox": Mailbox,
    "agent": AgentEntry,
}


def uncommented(text: str) -> str:
    """The file with every commented setting in force."""
    return _SETTING.sub("", text)


def keys(table: dict[str, Any]) -> dict[str, list[str]]:
    return {
        name: list(content[0] if isinstance(content, list) else content) for name, content in table.items()
    }


def test_every_key_is_in_the_manual_once_and_in_the_order_of_the_code() -> None:
    """A key that is not in the file does not exist for an admin."""
    assert keys(tomllib.loads(uncommented(MAIN))) == {
        name: list(model.model_fields) for name, model in MODELS.items()
    }
    not_in_the_file = {"rules", "store_password", "delivery_password"}
    assert set(Settings.model_fields) == {*MODELS, *not_in_the_file}


def test_every_key_is_explained_by_a_comment_above_it() -> None:
    """With its unit and what follows from it: a bare key explains nothing."""
    blocks = re.split(r"\n\s*\n", MAIN)
    settings = [block for block in blocks if re.search(r"^#?\w+ = ", block, re.MULTILINE)]
    assert len(settings) > 40
    for block in settings:
        lines = block.splitlines()
        first = next(i for i, line in enumerate(lines) if re.match(r"#?\w+ = ", line))
        assert any(re.match(r"# ['\w]", line) for line in lines[:first]), block


def test_as_shipped_it_is_the_built_in_defaults_with_data_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout, `run --config config/mailbridge.toml` does what `run` alone does."""
    shutil.copytree(SHIPPED, tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    shipped = load(Path("config/mailbridge.toml"), {})
    assert shipped == load(None, {})
    assert shipped.server.data_dir == tmp_path / "var"


def test_uncommenting_everything_changes_nothing_but_the_example_agent(tmp_path: Path) -> None:
    """Each commented value is the default in truth, in the notation of the file."""
    (tmp_path / "config").mkdir()
    plain, full = tmp_path / "config" / "plain.toml", tmp_path / "config" / "full.toml"
    plain.write_text(MAIN)
    full.write_text(uncommented(MAIN))
    settings = load(full, {})
    assert [agent.address for agent in settings.agent] == ["bart@desk.example"]
    assert settings.model_copy(update={"agent": ()}) == load(plain, {})


def test_only_the_data_folder_is_set_as_shipped() -> None:
    """Everything else is left to the defaults, so that an upgrade can better them."""
    in_force = tomllib.loads(MAIN)
    assert in_force == {**{name: {} for name in TABLES}, "server": {"data_dir": "../var"}}


def test_the_manual_tells_the_true_limit_of_a_mailbox_name() -> None:
    """It follows from the length of our tags, and the text cannot know when that changes."""
    assert f"At most {MAX_MAILBOX_LOCAL} characters before the '@'" in MAIN


def test_the_rules_file_does_nothing_as_shipped_and_its_examples_are_good(tmp_path: Path) -> None:
    """An admin uncomments an example and changes the names: that must work."""
    text = (SHIPPED / "rules.toml").read_text()
    main, rules = tmp_path / "mailbridge.toml", tmp_path / "rules.toml"
    main.write_text("[tickets]\nrules_file = 'rules.toml'\n")
    rules.write_text(text)
    assert load(main, {}).rules == ()
    rules.write_text(uncommented(text))
    found = load(main, {}).rules
    assert len(found) == 3
    used = {key for rule in tomllib.loads(uncommented(text))["rule"] for key in rule}
    assert used == {field.alias or name for name, field in Rule.model_fields.items()}
