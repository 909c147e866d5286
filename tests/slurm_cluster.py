"""A Slurm of a test's own: its controller and one node with several slots on this machine."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

SLOTS = 3
_PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch")
_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=3
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={slots} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=2
"""


@pytest.fixture(scope="session")
def slurm():
    """Return a function that runs one of Slurm's commands, and stop Slurm at the end; its node has ``SLOTS`` slots."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    programs = {name: shutil.which(name, path=path) for name in _PROGRAMS}
    if absent := [name for name, found in programs.items() if not found]:
        pytest.skip(f"needs a Slurm, Debian's packages slurm-wlm and munge: {', '.join(absent)} not found")
    if getpass.getuser() != "root":
        pytest.skip("needs root, to start a Slurm")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)  # munged wants every folder above its socket to be entered by all
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(64))
    (folder / "key").chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    filled = _CONFIGURATION.format(folder=folder, host=host, slots=SLOTS, ports=_free_ports(2))
    (folder / "slurm.conf").write_text(filled)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    own = [f"--{name}={folder}/{name}" for name in ("pid-file", "log-file", "seed-file")]
    munge = [f"--key-file={folder}/key", f"--socket={folder}/munge.socket", *own, "--foreground", "--force"]
    started = [_start(programs["munged"], *munge, folder=folder)]
    _until(lambda: (folder / "munge.socket").exists(), folder)
    started += [_start(programs[name], "-D", folder=folder) for name in ("slurmctld", "slurmd")]

    def call(*words):
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    try:
        _until(lambda: "idle" in _said("sinfo", "--noheader", "--format=%T").split(), folder)
        yield call
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(60)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


def _start(*words, folder):
    with open(folder / f"{Path(words[0]).name}.out", "w") as out:
        return subprocess.Popen(words, stdout=out, stderr=out, start_new_session=True)


def _said(*words):
    return subprocess.run(words, capture_output=True, text=True).stdout


def _until(true, folder):
    for _ in range(120):
        if true():
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text()[-1500:] for path in [*folder.glob("*.out"), *folder.glob("*.log")])
    raise AssertionError(f"Slurm did not start within a minute:\n{logs}")
