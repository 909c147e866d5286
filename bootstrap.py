"""Make .venv as requirements.txt says, and change it when that changes: the Makefile calls this before every target.

``python bootstrap.py [TORCH_INDEX]``: the URL, or the folder of wheels, that torch and torchvision come from; "" is the
usual index, without it they come from where they last came. The project's folder may be moved or copied with its .venv.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)  # where the pins have wheels: pandas 3 begins at 3.11, torch 2.14 ends at 3.14
WITH_CUDA, WITHOUT = (3.2, 6.5), (0.5, 1.7)  # GB to download, GB of .venv
VENV, STAMP = Path(".venv"), Path(".venv/stamp.json")
PIP = (".venv/bin/python", "-m", "pip", "install", "--no-compile", "--disable-pip-version-check")


def main(index=None):
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback on Ctrl-C; the next make begins again
    with open(".venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second make waits until the first is done
        old = json.loads(STAMP.read_text()) if STAMP.exists() and os.path.exists(PIP[0]) else {}
        index = old.get("index", "") if index is None else index
        if index and "://" not in index:
            index = os.path.abspath(index)
        new = {"python": "{}.{}".format(*sys.version_info), "index": index, "folder": os.path.abspath(VENV)}
        new["requirements"] = Path("requirements.txt").read_text()
        if old != new:
            install(old, new, lock)


def install(old, new, lock):
    """Bring .venv from the old stamp to the new one, which is written last."""
    if (old.get("python"), old.get("index")) != (new["python"], new["index"]):
        create(new["index"], lock)
    elif old["folder"] != new["folder"]:
        for script in (each for each in (VENV / "bin").iterdir() if not each.is_symlink()):  # activate, pytest ...
            script.write_bytes(script.read_bytes().replace(old["folder"].encode(), new["folder"].encode()))
    if new["index"]:
        source = ["--index-url"] if "://" in new["index"] else ["--no-index", "--find-links"]
        torch = re.findall(r"^torch(?:vision)?==\S+", new["requirements"], re.MULTILINE)
        run(lock, *PIP, "--no-deps", *source, new["index"], *torch)
    run(lock, *PIP, *(["--quiet"] if old else []), "-r", "requirements.txt")
    (VENV / f"lib/python{new['python']}/site-packages/tinycnn.pth").write_text("../../../..\n")  # this folder
    STAMP.with_suffix(".new").write_text(json.dumps(new))
    STAMP.with_suffix(".new").rename(STAMP)


def create(index, lock):
    """Make .venv anew, with pip alone in it. Exits where Python, index or disk will not do."""
    download, installed = WITH_CUDA if sys.platform == "linux" and not index else WITHOUT
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        fitting = "python{}.{} to python{}.{}".format(*OLDEST, *NEWEST)
        sys.exit(f"setup: this Python is out of range: make PYTHON=..., one of {fitting}")
    if index and "://" not in index and not os.path.isdir(index):
        sys.exit(f"setup: TORCH_INDEX={index} is neither a folder nor a URL")
    STAMP.unlink(missing_ok=True)
    run(lock, os.path.realpath(sys.executable), "-m", "venv", "--clear", VENV)
    free = shutil.disk_usage(VENV).free / 1e9
    if free < download + installed:
        sys.exit(f"setup: {download + installed:.1f} GB of disk are needed, {free:.1f} are free: make room")
    print(f"setup: making .venv: {download} GB to download, {installed} GB on disk, some minutes", flush=True)


def run(lock, *command):
    """Run a command, which holds the lock too; exits with one line after the command's own if it fails."""
    settings = dict(os.environ, TMPDIR=os.path.abspath(VENV), PIP_USER="0")  # /tmp is often a small disk
    if subprocess.call(command, env=settings, pass_fds=[lock.fileno()]):
        sys.exit("setup: the installation failed, the lines above say why: see to it, then make again")


if __name__ == "__main__":
    main(*sys.argv[1:])
