"""Passwords, certificates and keys that settings name: found, proved, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from mailbridge.config import ConfigError
from mailbridge.config_check import check
from mailbridge.config_load import load
from tests.config_folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


LOGIN = "[delivery]\nmethod = 'smtp'\nusername = 'desk'\n"


def test_a_password_comes_from_environment_then_file_then_systemd(folder: Folder) -> None:
    """In this order: the closest to this very start of the daemon wins."""
    credentials = folder.path / "credentials"
    credentials.mkdir()
    (credentials / "delivery_password").write_text("from systemd")
    folder.write("pw", "from file\r\n")
    folder.environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    named = LOGIN + "password_file = 'pw'\n"
    found = [folder.load(LOGIN).delivery_password, folder.load(named).delivery_password]
    folder.environ["MAILBRIDGE_DELIVERY_PASSWORD"] = "from environment"
    found.append(folder.load(named).delivery_password)
    assert [each.get_secret_value() for each in found if each] == [
        "from systemd",
        "from file",
        "from environment",
    ]


def test_the_database_password_is_found_in_the_same_ways(folder: Folder) -> None:
    """Two secrets, one rule."""
    folder.environ = {"MAILBRIDGE_STORE_PASSWORD": "hunter2"}
    settings = folder.load("[store]\nurl = 'postgresql://desk@db.example:5432/desk'")
    assert settings.store_password is not None
    assert settings.store_password.get_secret_value() == "hunter2"
    assert settings.delivery_password is None


def test_a_secret_is_never_in_what_can_be_printed(folder: Folder) -> None:
    """repr, dumps and the summary all end up in logs and bug reports."""
    folder.write("pw", "hunter2")
    settings = folder.load(LOGIN + "password_file = 'pw'\n")
    code, summary = check(folder.file, {"MAILBRIDGE_STORE_PASSWORD": "hunter2"})
    assert code == 0
    for text in (
        repr(settings),
        str(settings),
        str(settings.model_dump()),
        settings.model_dump_json(),
        summary,
    ):
        assert "hunter2" not in text


@pytest.mark.parametrize(
    "text",
    [
        "store_password = 'hunter2'",
        "[delivery]\npassword = 'hunter2'",
        "[delivery]\npasswrod = 'hunter2'",
        "[store]\nurl = 'postgresql://desk:hunter2@db.example/desk'",
        "[store]\nurl = 'postgresql://desk:hun@hunter2@db.example/desk'",
        "[store]\nurl = 'postgresql://db.example/desk?password=hunter2'",
        "[store]\nurl = 'mysql://desk:hunter2@db.example/desk'",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(folder: Folder, text: str) -> None:
    """The complaint goes to the journal, where the secret must not follow."""
    assert "hunter2" not in folder.problem(text)


def test_a_secret_that_everybody_can_read_is_refused(folder: Folder) -> None:
    """It is no secret; group access is left to the admin."""
    file = folder.write("pw", "hunter2", mode=0o644)
    text = LOGIN + "password_file = 'pw'\n"
    assert f"value '{file}': every user can read this secret; run: chmod o= {file}" in folder.problem(text)
    file.chmod(0o640)
    assert folder.load(text).delivery_password


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "allowed is a file with the password on one line"),
        ("one\ntwo\n", "allowed is a file with the password on one line"),
        (b"\xff\xfe", "allowed is a file with the password on one line"),
        ("x" * 5000, "allowed is a file with the password on one line"),
    ],
)
def test_a_password_file_that_holds_no_password_is_refused(
    folder: Folder, content: str | bytes | None, told: str
) -> None:
    """Better now than at the first login."""
    if content is not None:
        folder.write("pw", content)
    assert told in folder.problem(LOGIN + "password_file = 'pw'\n")


def test_what_is_no_regular_file_is_refused_without_being_opened(folder: Folder) -> None:
    """Opening a FIFO would wait for ever."""
    (folder.path / "pw").mkdir()
    assert "allowed is a regular file" in folder.problem(LOGIN + "password_file = 'pw'\n")


def test_certificate_and_key_are_proved_together(folder: Folder) -> None:
    """A listener that cannot do TLS must fail at `check`, not at the first customer."""
    authority = trustme.CA()
    one, two = (authority.issue_cert("desk.example") for _ in range(2))
    chain = b"".join(each.bytes() for each in one.cert_chain_pems)
    folder.write("cert.pem", chain, mode=0o644)
    folder.write("key.pem", one.private_key_pem.bytes())
    folder.write("other.pem", two.private_key_pem.bytes())
    folder.write("open.pem", one.private_key_pem.bytes(), mode=0o644)
    both = "[smtp]\ntls_certificate = '{}'\ntls_key = '{}'\n"
    assert folder.load(both.format("cert.pem", "key.pem")).smtp.tls_key == folder.path / "key.pem"
    assert "a certificate needs its key" in folder.problem("[smtp]\ntls_certificate = 'cert.pem'")
    assert "a key needs its certificate" in folder.problem("[smtp]\ntls_key = 'key.pem'")
    assert "KEY_VALUES_MISMATCH" in folder.problem(both.format("cert.pem", "other.pem"))
    assert "not PEM" in folder.problem(both.format("mailbridge.toml", "key.pem"))
    assert "every user can read this secret" in folder.problem(both.format("cert.pem", "open.pem"))
    assert "No such file" in folder.problem(both.format("none.pem", "key.pem"))
    assert folder.load("[delivery]\nca_file = 'cert.pem'").delivery.ca_file == folder.path / "cert.pem"


def test_a_key_locked_with_a_passphrase_is_refused_and_never_asked_for(folder: Folder) -> None:
    """OpenSSL would ask on the terminal, and a service has none."""
    issued = trustme.CA().issue_cert("desk.example")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    folder.write("cert.pem", issued.cert_chain_pems[0].bytes())
    folder.write("key.pem", locked)
    problem = folder.problem("[smtp]\ntls_certificate = 'cert.pem'\ntls_key = 'key.pem'")
    assert "does not load with smtp.tls_key" in problem


def test_who_does_not_send_can_do_without_the_password(folder: Folder) -> None:
    """systemd hands it to the service alone; `mailbridge ticket list` in a shell must work all the same."""
    file = folder.write("mailbridge.toml", LOGIN)
    with pytest.raises(ConfigError, match=r"delivery\.password_file: missing"):
        load(file, {})
    assert load(file, {}, sending=False).delivery_password is None
