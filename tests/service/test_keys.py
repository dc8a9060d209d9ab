"""The key ring file: made once, ours alone, rotated without orphaning a ticket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from mailbridge.core.tokens import Forged, Token, TokenKind
from mailbridge.service.keys import KeyFile, KeyFileError

TICKET = Token(TokenKind.TICKET, "7k3m9qx2vd")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys.json"


def test_the_file_is_made_on_first_use_for_us_alone(path: Path) -> None:
    """No setup step; and whatever the umask, nobody else may read the keys."""
    before = os.umask(0)
    try:
        ring = KeyFile(path).load()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert len(ring.current.secret) == 32
    assert ring.retired == ()
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_a_restart_knows_the_tokens_of_the_run_before(path: Path) -> None:
    """Replies come days later."""
    text = KeyFile(path).load().sign(TICKET)
    assert KeyFile(path).load().read(text) == TICKET


def test_two_installations_do_not_share_a_key(tmp_path: Path) -> None:
    """The secret is random, not derived from anything."""
    text = KeyFile(tmp_path / "one").load().sign(TICKET)
    assert isinstance(KeyFile(tmp_path / "two").load().read(text), Forged)


def test_many_threads_that_start_at_once_agree_on_one_key(path: Path) -> None:
    """The loser of the race must use the winner's key, or its mails could not be answered."""
    count = 16
    barrier = Barrier(count)

    def load() -> bytes:
        barrier.wait()
        return KeyFile(path).load().current.secret

    with ThreadPoolExecutor(count) as pool:
        secrets = {future.result() for future in [pool.submit(load) for _ in range(count)]}
    assert len(secrets) == 1
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


_CHILD = """
import sys
from pathlib import Path
from mailbridge.service.keys import KeyFile
print("ready", flush=True)
sys.stdin.readline()
file = KeyFile(Path(sys.argv[1]))
file.load()
for _ in range(3):
    file.rotate()
print(file.load().current.id)
"""


def test_processes_that_create_and_rotate_at_once_lose_no_key(path: Path) -> None:
    """`keys rotate` beside a running daemon, or twice at once: every key that ever signed stays known."""
    command = [sys.executable, "-c", _CHILD, str(path)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:
            child.communicate(timeout=30)
            assert child.returncode == 0
    finally:
        for child in children:
            child.kill()
            child.communicate()
    ring = KeyFile(path).load()
    assert len(ring.retired) == 9
    assert len({key.secret for key in (ring.current, *ring.retired)}) == 10


def test_a_rotation_signs_with_a_new_key_and_still_reads_the_old(path: Path) -> None:
    """Open tickets go on; new mail uses the new key."""
    file = KeyFile(path)
    old = file.load()
    text = old.sign(TICKET)
    new = file.rotate()
    assert new.current != old.current
    assert new.retired == (old.current,)
    assert new.read(text) == TICKET
    assert isinstance(old.read(new.sign(TICKET)), Forged)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_a_running_daemon_sees_a_rotation_at_its_next_load(path: Path) -> None:
    """`keys rotate` is another process; no restart and no signal are needed."""
    daemon, command = KeyFile(path), KeyFile(path)
    first = daemon.load()
    assert daemon.load() is first  # nothing changed: not even read again
    rotated = command.rotate()
    assert daemon.load() == rotated != first


def test_rotating_for_years_keeps_short_ids_and_the_youngest_keys(path: Path) -> None:
    """Ids must stay one character, since the length of every address depends on it."""
    file = KeyFile(path)
    rings = [file.load()] + [file.rotate() for _ in range(45)]
    assert all(len(ring.current.id) == 1 for ring in rings)
    assert [key.secret for key in rings[-1].retired] == [ring.current.secret for ring in rings[-2:-22:-1]]


def test_a_stolen_key_can_be_dropped_at_once(path: Path) -> None:
    """keep=0: what the thief signs is worth nothing from then on."""
    file = KeyFile(path)
    text = file.load().sign(TICKET)
    ring = file.rotate(keep=0)
    assert ring.retired == ()
    assert isinstance(ring.read(text), Forged)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused_with_the_remedy(path: Path, mode: int) -> None:
    """Whoever reads it can write as any requester; so it must be seen, even while running."""
    file = KeyFile(path)
    file.load()
    path.chmod(mode)
    for each in (file, KeyFile(path)):
        with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600 {path}"):
            each.load()
    path.chmod(0o600)
    file.load()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"current": 5, "retired": []}',
        '{"current": {"id": "1", "secret": "c2hvcnQ="}, "retired": []}',
        '{"current": {"id": "1", "secret": "not base64 hunter2"}, "retired": []}',
        '{"current": {"id": "ABC", "secret": "' + "A" * 44 + '"}, "retired": []}',
        '{"current": {"id": 1, "secret": 2}, "retired": []}',
        '{"retired": []}',
        "[" * 60_000,
        "\x00" * 70_000,
    ],
)
def test_a_damaged_file_is_refused_and_never_replaced(path: Path, content: str) -> None:
    """New keys in its place would disown every ticket; and the message must not quote a secret."""
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="damaged") as caught:
        KeyFile(path).load()
    assert "hunter2" not in str(caught.value)
    with pytest.raises(KeyFileError, match="damaged"):
        KeyFile(path).rotate()
    assert path.read_text() == content


def test_a_file_that_vanishes_while_in_use_is_missed_loudly(path: Path) -> None:
    """Silently made new keys would turn every answer into a new ticket."""
    file = KeyFile(path)
    file.load()
    path.rename(path.with_suffix(".bak"))
    with pytest.raises(KeyFileError, match="gone while in use"):
        file.load()
    assert not path.exists()
    path.with_suffix(".bak").rename(path)
    file.load()


def test_what_is_not_a_file_is_refused_without_hanging(path: Path) -> None:
    """A FIFO would block the reader for ever, a folder raises something obscure."""
    path.parent.mkdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        KeyFile(path).load()
    path.unlink()
    path.mkdir(0o700)
    with pytest.raises(KeyFileError):
        KeyFile(path).load()


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """A broken environment must say which path is broken."""
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(KeyFileError, match=r"data/keys\.json"):
        KeyFile(tmp_path / "data" / "keys.json").load()


def test_the_file_holds_what_is_documented(path: Path) -> None:
    """Backups and other tools read it: ids and base64 secrets, current and retired."""
    file = KeyFile(path, random_bytes=lambda count: b"A" * count)
    file.load()
    secret = "QUFB" * 10 + "QUE="
    assert json.loads(path.read_text()) == {"current": {"id": "1", "secret": secret}, "retired": []}
