"""The key ring file: made on first use, re-read when it changes, rotated without a moment of no keys.

One file (`data_dir/keys.json`, mode 0600) holds the current key and the retired ones. Whoever can read it can
write mail that we take for our own, so a file open to others is refused, not repaired.

Standards: POSIX `link`, `rename`, `fsync` and `flock` semantics; JSON (RFC 8259).
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailbridge.core.tokens import Key, KeyRing

_SECRET_BYTES = 32
_KEEP_RETIRED = 20
_LARGEST_FILE = 64 << 10
# One character each, so that tags stay as short as core.tokens.MAX_TAG says; far more than are ever kept.
_IDS = "123456789abcdefghijklmnopqrstuvwxyz"


class KeyFileError(Exception):
    """The key file cannot be used: not ours alone, damaged, gone or unreadable. The text says what to do."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    seen: tuple[int, int, int, int]
    ring: KeyRing


class KeyFile:
    """The key ring at a path. Safe to share between threads; several processes agree on the same file."""

    def __init__(self, path: Path, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._path = path
        self._random_bytes = random_bytes
        self._loaded: _Loaded | None = None

    def load(self) -> KeyRing:
        """The ring as the file has it now: one `stat` when nothing changed.

        Makes the file when there is none yet. Raises KeyFileError when the file is open to group or world,
        damaged or unreadable, or has gone since it was last read: new keys would disown every ticket's
        address, so that is never done behind the operator's back.
        """
        loaded = self._loaded
        try:
            seen = _identity(self._path.stat())
        except FileNotFoundError:
            if loaded is not None:
                raise KeyFileError(f"{self._path}: gone while in use; restore it from a backup") from None
            with self._explained():
                self._create()
        except OSError as error:
            raise KeyFileError(f"{self._path}: {error.strerror}") from error
        else:
            if loaded is not None and loaded.seen == seen:
                return loaded.ring
        self._loaded = self._read()
        return self._loaded.ring

    def rotate(self, keep: int = _KEEP_RETIRED) -> KeyRing:
        """A new current key, the old one retired: it still verifies what it signed. Durable on return.

        At most `keep` retired keys stay, the youngest; mail signed with a dropped key is no longer known by
        its token. 0 is for a stolen file. Raises KeyFileError as `load` does.
        """
        self.load()
        with self._explained(), self._locked():
            old = self._read().ring
            retired = (old.current, *old.retired)
            current = Key(_next_id([key.id for key in retired]), self._random_bytes(_SECRET_BYTES))
            ring = KeyRing(current, retired[: min(max(keep, 0), _KEEP_RETIRED)])
            temporary = self._write_beside(ring)
            temporary.replace(self._path)
            _sync_directory(self._path.parent)
        self._loaded = self._read()
        return self._loaded.ring

    def _create(self) -> None:
        """Makes the file whole or not at all. When another process is quicker, theirs is the one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        first = KeyRing(Key(_IDS[0], self._random_bytes(_SECRET_BYTES)))
        temporary = self._write_beside(first)
        try:
            # link, unlike rename, never replaces: the first one wins and nobody sees half a file.
            os.link(temporary, self._path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        _sync_directory(self._path.parent)

    def _write_beside(self, ring: KeyRing) -> Path:
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="ascii") as file:
                file.write(_encode(ring))
                file.flush()
                os.fsync(file.fileno())
        except OSError:  # a full disk: no half-written secrets stay behind
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    def _read(self) -> _Loaded:
        # Non-blocking, so that a FIFO in this place cannot hold the daemon for ever.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        with self._explained(), os.fdopen(os.open(self._path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            self._refuse_unsafe(status)
            content = file.read(_LARGEST_FILE + 1)
        try:
            return _Loaded(_identity(status), _decode(content))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            # `from None`: the cause may quote the content, and the content is secret.
            problem = f"damaged ({type(error).__name__}); restore it from a backup"
            raise KeyFileError(f"{self._path}: {problem}") from None

    def _refuse_unsafe(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{self._path}: not a regular file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyFileError(
                f"{self._path}: mode {mode:04o} lets others at the keys; run: chmod 600 {self._path}"
                " (and `mailbridge keys rotate` if others may have read it)"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KeyFileError(f"{self._path}: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One rotation at a time: two at once would each retire the same key and lose the other's."""
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    # The mode is part of it: a chmod changes neither inode nor mtime, and must be noticed.
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _next_id(taken: list[str]) -> str:
    """The id after the current one (the first of `taken`), round the alphabet, past those in use."""
    start = _IDS.find(taken[0]) + 1
    return next(i for i in _IDS[start:] + _IDS[:start] if i not in taken)


def _encode(ring: KeyRing) -> str:
    def entry(key: Key) -> dict[str, str]:
        return {"id": key.id, "secret": base64.b64encode(key.secret).decode("ascii")}

    content = {"current": entry(ring.current), "retired": [entry(key) for key in ring.retired]}
    return json.dumps(content, indent=2) + "\n"


def _decode(content: bytes) -> KeyRing:
    if len(content) > _LARGEST_FILE:
        raise ValueError("too large")

    def key(entry: dict[str, str]) -> Key:
        try:
            return Key(entry["id"], base64.b64decode(entry["secret"], validate=True))
        except binascii.Error:
            raise ValueError("not base64") from None

    found = json.loads(content)
    return KeyRing(key(found["current"]), tuple(key(entry) for entry in found["retired"]))
