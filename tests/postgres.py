"""A PostgreSQL server for tests that need one."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def postgresql():
    """The address of a PostgreSQL server of this test's own, on a socket in its folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("needs a PostgreSQL server: Debian's package postgresql")
    folder = Path(tempfile.mkdtemp())  # not below pytest's, which only its owner may enter
    wrapper = []
    if os.getuid() == 0:  # the server refuses to run as root
        wrapper = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres")

    def call(program, *arguments):
        subprocess.run([*wrapper, found[-1] / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder)

    call("initdb", "-D", folder / "data", "-U", "tester", "--auth=trust")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    call("pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
    yield f"postgresql://tester@/postgres?host={folder}"
    call("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)
