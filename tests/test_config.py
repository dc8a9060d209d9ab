"""Settings files that are right: each value is read as it was meant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mailbridge.config import Settings, Smtp, is_loopback, parse_listen
from mailbridge.config_check import check
from mailbridge.config_load import load
from mailbridge.config_read import duration_text, size_text
from tests.config_folder import Folder, with_rules


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_without_a_file_the_defaults_hold_and_data_lives_in_var(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mailbridge run` in an empty folder works, and leaves everything in one place."""
    monkeypatch.chdir(tmp_path)
    settings = load(None, {})
    assert settings.server.data_dir == tmp_path / "var"
    assert settings.delivery.maildir == tmp_path / "var" / "outgoing"
    assert [mailbox.address for mailbox in settings.mailbox] == ["support@localhost"]
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_the_defaults_beside_it(folder: Folder) -> None:
    """Wherever the command is started from, the file decides where the data is."""
    settings = folder.load("")
    assert settings.server.data_dir == folder.path / "var"
    assert settings.smtp == Smtp()


def test_relative_paths_start_at_the_file_and_the_maildir_at_the_data(folder: Folder) -> None:
    """One rule, and the one exception that keeps data together."""
    (folder.path / "mine").mkdir()
    folder.write("rules.toml", "")
    settings = folder.load("""
        server.data_dir = "../elsewhere"
        store.url = "sqlite:///db/desk.db"
        tickets.rules_file = "rules.toml"
        tickets.templates_dir = "./mine"
        delivery.maildir = "sent"
    """)
    assert settings.server.data_dir == folder.path.parent / "elsewhere"
    assert settings.store.url == f"sqlite:///{folder.path}/db/desk.db"
    assert settings.tickets.rules_file == folder.path / "rules.toml"
    assert settings.tickets.templates_dir == folder.path / "mine"
    assert settings.delivery.maildir == folder.path.parent / "elsewhere" / "sent"


def test_absolute_paths_and_the_home_folder_are_left_where_they_are(folder: Folder) -> None:
    """An installed service names /var/lib."""
    settings = folder.load("""
        server.data_dir = "/var/lib/mailbridge"
        store.url = "sqlite:////srv/desk.db"
        delivery.maildir = "~/outgoing"
    """)
    assert settings.server.data_dir == Path("/var/lib/mailbridge")
    assert settings.store.url == "sqlite:////srv/desk.db"
    assert settings.delivery.maildir == Path.home() / "outgoing"


def test_every_kind_of_value_is_read_as_meant(folder: Folder) -> None:
    """Durations, sizes, lists, tables: with a BOM and CRLF, as an editor on Windows leaves them."""
    text = """
        [smtp]
        listen = ["[::1]:2525", "localhost:0"]
        idle_timeout = "90s"
        max_message = "512 KiB"
        min_free_disk = "0 B"
        [tickets]
        reopen_within = "14d"
        notify_agents = []
        [[mailbox]]
        address = "support@desk.example"
        aliases = ["a-name-that-is-longer-than-replies-allow@desk.example"]
        default_priority = "S2"
        acknowledge = false
        [[agent]]
        address = "bart@desk.example"
        mailboxes = ["Support@Desk.Example"]
    """
    settings = folder.load(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert settings.smtp.listen == ("[::1]:2525", "localhost:0")
    assert settings.smtp.idle_timeout == timedelta(seconds=90)
    assert settings.smtp.max_message == 512 * 1024
    assert settings.smtp.min_free_disk == 0
    assert settings.tickets.reopen_within == timedelta(days=14)
    assert settings.tickets.notify_agents == ()
    assert settings.mailbox[0].default_priority == "S2"
    assert settings.agent[0].name == ""


def test_settings_cannot_be_changed_after_loading(folder: Folder) -> None:
    """They are shared by everything that runs."""
    settings = folder.load("")
    with pytest.raises(ValidationError, match="frozen"):
        settings.smtp.enabled = False


@given(st.integers(1, 10_000_000))
def test_durations_and_sizes_are_printed_as_they_are_written(number: int) -> None:
    """What `check` shows can be put into the file."""
    settings = Settings.model_validate(
        {
            "intake": {"lease": duration_text(timedelta(seconds=number))},
            "smtp": {"max_message": size_text(number << 10)},
        }
    )
    assert settings.intake.lease == timedelta(seconds=number)
    assert settings.smtp.max_message == number << 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8025", ("127.0.0.1", 8025)),
        ("0.0.0.0:25", ("0.0.0.0", 25)),
        ("[::]:25", ("::", 25)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_a_listen_address_is_split_into_host_and_port(text: str, expected: tuple[str, int]) -> None:
    """The listener binds exactly this."""
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_told_by_the_address_and_never_by_looks(host: str, expected: bool) -> None:
    """It decides whether a password may travel in the clear."""
    assert is_loopback(host) is expected


def test_rules_are_read_in_the_order_of_the_file(folder: Folder) -> None:
    """The first that matches wins, so the order is the meaning."""
    settings = folder.load(
        with_rules(
            folder,
            """
            [[rule]]
            subject_tag = ["S1", "URGENT"]
            from = ["anne@customer.example", "@other.example"]
            priority = "S1"
            [[rule]]
            organisation = "Customer Ltd"
            mailbox = "SUPPORT@localhost"
            priority = "S4"
            """,
        )
    )
    first, second = settings.rules
    assert (first.subject_tag, first.priority) == (("S1", "URGENT"), "S1")
    assert first.from_ == ("anne@customer.example", "@other.example")
    assert (second.organisation, second.mailbox) == (("Customer Ltd",), ("SUPPORT@localhost",))


def test_check_says_what_a_good_file_means(folder: Folder) -> None:
    """An admin sees what will happen before starting anything."""
    folder.write("mailbridge.toml", with_rules(folder, "[[rule]]\nfrom = ['@x.example']\npriority = 'S1'\n"))
    code, text = check(folder.file, {})
    assert code == 0
    assert text.startswith(f"{folder.file}: good\n")
    for told in (
        "127.0.0.1:8025",
        "36 MiB",
        "support@localhost",
        "var/outgoing",
        "for ever",
        "from @x.example: S1",
    ):
        assert told in text


def test_check_gives_78_and_every_problem(folder: Folder) -> None:
    """EX_CONFIG of sysexits: what service managers and scripts rely on."""
    folder.write("mailbridge.toml", "[smtp]\nenabled = 1\nlisten = ['x']\n")
    code, text = check(folder.file, {})
    assert code == 78
    assert text.count(f"{folder.file}: smtp.") == 2
    assert text.endswith("\n2 problems")
