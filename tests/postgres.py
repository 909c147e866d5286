"""A PostgreSQL server for tests that need one."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

PASSWORD = "pass-Wort-9f2c"


class Server:
    """A server in a folder of its own, on a port of 127.0.0.1, that asks for a password."""

    def __init__(self, folder: Path, programs: Path):
        self.folder, self.programs = folder, programs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "password").write_text(PASSWORD)
        self.wrapper = []
        if os.getuid() == 0:  # the server refuses to run as root
            self.wrapper = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            for each in (folder, folder / "password"):
                shutil.chown(each, "postgres")
        how = "--auth=scram-sha-256", f"--pwfile={folder}/password"
        self._call("initdb", "-D", folder / "data", "-U", "tester", *how)

    def _call(self, program, *arguments):
        command = [*self.wrapper, self.programs / program, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def start(self):
        options = f"-k {self.folder} -p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._call("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, how="fast"):
        """Stop it; "fast" ends what its clients do, "immediate" is as if its machine had failed."""
        self._call("pg_ctl", "-D", self.folder / "data", "-m", how, "stop")

    def url(self, name="postgres", password=PASSWORD) -> str:
        """Return the address of a database, with the password."""
        return f"postgresql://tester:{password}@127.0.0.1:{self.port}/{name}"

    def make(self, name: str) -> str:
        """Make a database and return its address."""
        with create_engine(self.url(), isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return self.url(name)

    def dump(self, *names) -> str:
        """Return all that the databases hold, as SQL."""
        command = [self.programs / "pg_dump", "--inserts"]
        return "".join(subprocess.check_output([*command, self.url(name)], text=True) for name in names)


@pytest.fixture
def postgresql():
    """A PostgreSQL server of this test's own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("needs a PostgreSQL server: Debian's package postgresql")
    folder = Path(tempfile.mkdtemp())  # not below pytest's, which only its owner may enter
    server = Server(folder, found[-1])
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(folder)
