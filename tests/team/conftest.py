"""A real PostgreSQL of the test's own, in a temporary folder; the system's clusters are left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from required import missing
from servers import Server, free_port


@dataclass(frozen=True)
class Postgres:
    port: int
    sockets: Path
    """Folder of the socket, over which the superuser needs no password."""

    def admin(self, *command: str) -> None:
        settings = {"PGHOST": str(self.sockets), "PGPORT": str(self.port), "PGUSER": "postgres"}
        subprocess.run(command, env=os.environ | settings, check=True, capture_output=True, text=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found or shutil.which("psql") is None:
        missing("PostgreSQL")
    programs = found[-1].parent
    # Of a short name, for a socket's path may have 107 characters; and one that the user postgres can enter.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    user: list[str] = []
    if os.geteuid() == 0:  # as root it refuses to run
        user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    initdb = [*user, str(programs / "initdb"), "--pgdata", str(folder / "data"), "--username", "postgres",
              "--auth-local", "trust", "--auth-host", "scram-sha-256", "--no-sync"]  # fmt: skip
    subprocess.run(initdb, check=True, capture_output=True, cwd="/")
    port = free_port()
    command = [*user, str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder),
               "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]  # fmt: skip
    with tempfile.TemporaryDirectory() as logs:
        server = Server(command, log=Path(logs) / "postgres.log", port=port)
        try:
            server.start()
            yield Postgres(port, folder)
        finally:
            server.kill()
            shutil.rmtree(folder)
