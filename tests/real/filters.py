"""Runs a program under the system call filters of mailbridge.service, where no systemd is there to do it.

    python -m tests.real.filters PROGRAM ARGUMENT...

Does what systemd 252 does for SystemCallFilter=, MemoryDenyWriteExecute= and RestrictAddressFamilies=, by the
same library, with the groups as the installed systemd knows them.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.real.service import Unit, run

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_LESS, _EQUAL, _GREATER, _MASKED = 2, 4, 6, 7
_SHM_EXEC = 0o100000


class _Compare(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """Answer `call` with `error` (None: allow it) when `compare` holds: argument, operator, operands."""

    call: str
    error: int | None
    compare: tuple[int, int, int, int] | None = None


@functools.cache
def group(name: str) -> frozenset[str]:
    """The system calls of a group such as '@ipc', those of the groups in it included."""
    if not name.startswith("@"):
        return frozenset({name})
    lines = [line.strip() for line in run(["systemd-analyze", "syscall-filter", name]).splitlines()[1:]]
    members = [line for line in lines if line and not line.startswith("#")]
    return frozenset().union(*(group(member) for member in members))


def allowed_calls(unit: Unit) -> frozenset[str]:
    """What SystemCallFilter= leaves: the first line allows, later ones add or (~) take away."""
    calls: frozenset[str] = group("@default")  # systemd always allows it
    for value in unit.all("SystemCallFilter"):
        names = frozenset().union(*(group(name) for name in value.removeprefix("~").split()))
        calls = calls - names if value.startswith("~") else calls | names
    return calls | group("@default")


def _write_execute_rules() -> list[Rule]:
    both, execute = mmap.PROT_WRITE | mmap.PROT_EXEC, mmap.PROT_EXEC
    return [
        Rule("mmap", errno.EPERM, (2, _MASKED, both, both)),
        Rule("mprotect", errno.EPERM, (2, _MASKED, execute, execute)),
        Rule("pkey_mprotect", errno.EPERM, (2, _MASKED, execute, execute)),
        Rule("shmat", errno.EPERM, (2, _MASKED, _SHM_EXEC, _SHM_EXEC)),
    ]


def _family_rules(unit: Unit) -> list[Rule]:
    """One comparison a rule is allowed, hence everything below, above and between those allowed."""
    allowed = sorted(int(getattr(socket, name)) for name in unit.one("RestrictAddressFamilies").split())
    between = [n for n in range(allowed[0], allowed[-1]) if n not in allowed]
    refuse = functools.partial(Rule, "socket", errno.EAFNOSUPPORT)
    return [
        refuse((0, _LESS, allowed[0], 0)),
        refuse((0, _GREATER, allowed[-1], 0)),
        *(refuse((0, _EQUAL, n, 0)) for n in between),
    ]


def _load(default: int, rules: Sequence[Rule]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filters = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    for rule in rules:
        number = library.seccomp_syscall_resolve_name(rule.call.encode())
        if number < 0:  # not a call of this machine
            continue
        action = ctypes.c_uint32(_ALLOW if rule.error is None else _ERRNO | rule.error)
        compare = (_Compare * 1)(_Compare(*rule.compare)) if rule.compare else None
        count = ctypes.c_uint(1 if rule.compare else 0)
        if failed := library.seccomp_rule_add_array(filters, action, number, count, compare):
            raise OSError(-failed, f"{rule}: {os.strerror(-failed)}")
    if failed := library.seccomp_load(filters):  # sets no_new_privs too
        raise OSError(-failed, os.strerror(-failed))


def main(command: list[str]) -> None:
    """Become `command`, filtered."""
    unit = Unit("mailbridge.service")
    allowed = [Rule(name, None) for name in sorted(allowed_calls(unit))]
    assert unit.one("MemoryDenyWriteExecute") == "yes"
    # The list of calls comes last: seccomp itself is not on it.
    _load(_ALLOW, [*_write_execute_rules(), *_family_rules(unit)])
    _load(_ERRNO | errno.EPERM, allowed)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
