"""Mail out into a Maildir: the default that needs no mail server, opened by any mail client.

Each mail is one file in `new/`, below the trace header that a delivering server adds; with LF line ends, as
programs expect them in a Maildir (mutt shows a CR as ^M).

Standards: Maildir (cr.yp.to/proto/maildir.html), RFC 5321 4.4 (Return-Path), RFC 9228 (Delivered-To).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import structlog

from mailbridge.core.encode import is_sendable
from mailbridge.core.outgoing import (
    Delivered,
    Outgoing,
    RecipientResult,
    Refused,
    SmarthostDown,
    SubmissionResult,
)


class MaildirSubmitter:
    """Saves mails in a Maildir, made when it is missing. Safe to use from many tasks of one loop."""

    def __init__(self, path: Path, log: structlog.stdlib.BoundLogger) -> None:
        self._path = path
        self._log = log
        self._seen: tuple[int, frozenset[str]] = (-1, frozenset())

    async def submit(self, outgoing: Outgoing) -> SubmissionResult | SmarthostDown:
        """Save the mail durably, one file for all its recipients; the same mail again makes no second file.

        What is the same is told by Message-ID, recipients and bytes, so also after a crash between saving and
        recording it, and when a reader has moved the file to `cur/` meanwhile. Addresses that are not
        `is_sendable` are refused; trouble with the disk is SmarthostDown, which passes by itself.
        """
        results: dict[str, RecipientResult] = {
            r: Refused(553, "5.1.3", "not an address we send to")
            for r in outgoing.recipients
            if not is_sendable(r)
        }
        if outgoing.envelope_from and not is_sendable(outgoing.envelope_from):
            refused = Refused(553, "5.1.7", "our envelope sender is not an address")
            return SubmissionResult(dict.fromkeys(outgoing.recipients, refused))
        wanted = [r for r in dict.fromkeys(outgoing.recipients) if r not in results]
        if wanted:
            try:
                saved = await asyncio.to_thread(self._save, outgoing, wanted)
            except OSError as error:
                return SmarthostDown(f"cannot save to {self._path}: {error.strerror or error}", False)
            results |= dict.fromkeys(wanted, Delivered(f"saved as {saved}"))
        return SubmissionResult(results)

    async def close(self) -> None:
        """Nothing is kept open; here because every submitter has it."""

    def _save(self, outgoing: Outgoing, recipients: Sequence[str]) -> str:
        """Write to tmp/, flush, rename to new/, flush the folder; return the path below the Maildir."""
        self._make_folders()
        identity = "\0".join([outgoing.message_id, *sorted(recipients)]).encode() + b"\0" + outgoing.data
        # No ':' or '/', by the Maildir rules; no time, since it must be the same in a later attempt.
        name = f"mailbridge-{sha256(identity).hexdigest()[:40]}"
        if (self._path / "new" / name).exists():
            _flush_folder(self._path / "new")  # the crash may have come just before this
            return f"new/{name}"
        if name in self._read_by_someone():
            return f"cur/{name}"
        trace = [f"Return-Path: <{outgoing.envelope_from}>", *(f"Delivered-To: {r}" for r in recipients)]
        temporary = self._path / "tmp" / name
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write("".join(line + "\n" for line in trace).encode())
                file.write(outgoing.data.replace(b"\r\n", b"\n"))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path / "new" / name)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _flush_folder(self._path / "new")
        return f"new/{name}"

    def _make_folders(self) -> None:
        if (self._path / "cur").is_dir():  # the last to be made
            return
        for folder in ("tmp", "new", "cur"):
            (self._path / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        _flush_folder(self._path)
        _flush_folder(self._path.parent)
        self._log.info("maildir.made", path=str(self._path))

    def _read_by_someone(self) -> frozenset[str]:
        """Names in cur/ without their flags; listed anew only when the folder has changed."""
        folder = self._path / "cur"
        changed = folder.stat().st_mtime_ns
        if changed != self._seen[0]:
            self._seen = (changed, frozenset(entry.name.partition(":")[0] for entry in folder.iterdir()))
        return self._seen[1]


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
