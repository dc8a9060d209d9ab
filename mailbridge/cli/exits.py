"""Exit codes, as sysexits.h names them."""

from __future__ import annotations

import os

OK = os.EX_OK
USAGE = os.EX_USAGE  # 64: the command line is wrong, or what was asked cannot be done
DATA = os.EX_DATAERR  # 65: the input is refused
NO_INPUT = os.EX_NOINPUT  # 66: a file cannot be read
NO_USER = os.EX_NOUSER  # 67: no such mailbox
UNAVAILABLE = os.EX_UNAVAILABLE  # 69: nothing found by that name
SOFTWARE = os.EX_SOFTWARE  # 70: our own fault
OS_FILE = os.EX_CANTCREAT  # 73: a file cannot be made
TEMPORARY = os.EX_TEMPFAIL  # 75: try again later
CONFIG = os.EX_CONFIG  # 78: the settings are wrong
