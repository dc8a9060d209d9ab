"""`mailbridge demo`: the first thing that anyone runs, so it must hold, be quick, and never claim what is not so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flow.world import environment

STEPS = (
    "Anne, a customer, writes a mail",
    "Bart answers from his mail program",
    "Anne replies",
    "Bart solves it",
    "A day later it fails again",
    "the ticket is REOPENED",
    "Every step held.",
)


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    """The demo as a newcomer runs it, with its temporary folder inside `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "mailbridge", "demo", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"TMPDIR": str(folder)},
    )


@pytest.mark.parametrize(("args", "out"), [((), "SMTP 127.0.0.1:"), (("--maildir",), "Maildir ")])
def test_the_demo_plays_the_whole_story_and_leaves_nothing_behind(
    tmp_path: Path, args: tuple[str, ...], out: str
) -> None:
    """Exit 0 within 20 s, each step shown in order, the transcript at the end, no file and no process left."""
    began = time.monotonic()
    demo = start(tmp_path, *args)
    shown, errors = demo.communicate(timeout=40)
    assert (demo.returncode, errors) == (0, "")
    assert time.monotonic() - began < 20
    position = 0
    for step in STEPS:
        position = shown.index(step, position)
    assert f"mail out  {out}" in shown
    assert "solved -> open (the customer wrote again)" in shown
    assert "\x1b" not in shown  # in a pipe there are no colours
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_does_not_hold_ends_the_demo_with_an_error(tmp_path: Path) -> None:
    """The daemon is killed in the middle: the demo says so, shows its log, and does not end with 0."""
    demo = start(tmp_path, "--keep")
    deadline = time.monotonic() + 30
    daemon = 0
    while not daemon and time.monotonic() < deadline:
        for log in tmp_path.glob("mailbridge-demo-*/daemon.log"):
            if '"ready"' in log.read_text():
                daemon = int((log.parent / "data" / "mailbridge.lock").read_text())
        time.sleep(0.01)
    os.kill(daemon, signal.SIGKILL)
    shown, errors = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "✗" in shown
    assert "Every step held" not in shown
    assert '"ready"' in errors  # the end of the daemon's log
    assert "Traceback" not in errors
    (kept,) = tmp_path.glob("mailbridge-demo-*")
    assert f"kept: {kept}" in shown
