"""Make .venv, and keep it as requirements.txt says: the Makefile calls this before every target that needs it.

It runs on any Python from 2.7 on, because a Python too old for the project must still get as far as saying so.
"""

from __future__ import print_function

import argparse
import contextlib
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys

try:
    import fcntl
except ImportError:  # not on every system; without it two installations at once are not kept apart
    fcntl = None

OLDEST, NEWEST = (3, 11), (3, 14)  # where the pins have wheels: pandas 3 begins at 3.11, torch 2.14 ends at 3.14
# Gigabytes, measured on Linux, where torch brings CUDA: wheels, then .venv. Elsewhere an estimate.
DOWNLOAD, INSTALLED = (3.2, 6.7) if sys.platform.startswith("linux") else (0.6, 2.0)


class Stop(Exception):
    """Why nothing can be installed: one line, and what to do about it."""


def main(argv=None):
    """Return 0 once the environment is complete, 1 after a line that says why it cannot be, 130 when interrupted."""
    args = arguments(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # make's way to end a command: as if ^C
    try:
        if sys.version_info < (3, 6) or fault(args):  # before 3.6 this file can be read, and hardly more
            check_python()
            with lock(args.venv) as held:
                found = fault(args)  # again: whoever held the lock may have mended it
                if found:
                    install(args, held, *found)
    except Stop as stop:
        print("setup: {}".format(stop), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; the next make goes on from here", file=sys.stderr)
        return 130
    return 0


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=".venv", help="the environment's folder")
    parser.add_argument("--requirements", default="requirements.txt", help="what is installed into it")
    parser.add_argument("--project", help="folder of a project to install as well, editable")
    parser.add_argument("--exact", action="store_true", help="only an environment of this very Python version will do")
    return parser.parse_args(argv)


def fault(args):
    """Say what is wrong with the environment and whether it must be made anew: (why, anew); None if nothing is."""
    if not os.path.isdir(args.venv):
        return "there is no {} yet".format(args.venv), True
    stamp = read(stamp_of(args.venv)).decode("utf-8").split("\n")
    if len(stamp) != 3:
        return "{} was never finished".format(args.venv), True
    version, folder, pins = stamp
    if folder != os.path.realpath(args.venv):
        return "{} was made in another folder".format(args.venv), True
    if python_of(args.venv) != version:
        return "the Python {} that {} was made with is gone".format(version, args.venv), True
    if args.exact and version != running():
        return "{} has Python {}, asked for is {}".format(args.venv, version, running()), True
    if pins != digest(args):
        return "what to install has changed", False
    missing = pinned(args.requirements) - installed(args.venv)
    if missing:
        return "{} lacks {}".format(args.venv, ", ".join(sorted(missing))), False
    return None


def install(args, held, why, anew):
    """Bring the environment to what is asked for. The stamp, written last, is what makes it complete."""
    stamp = stamp_of(args.venv)
    before = read(stamp)
    if anew:
        before = b""
        check_machine(args.venv)
        print("setup: {}: making it with Python {}".format(why, running()))
        print("setup: this downloads about {} GB, takes {} GB of disk and some minutes".format(DOWNLOAD, INSTALLED))
    else:
        print("setup: {}: mending {}".format(why, args.venv))
    sys.stdout.flush()
    if os.path.exists(stamp):
        os.remove(stamp)
    if anew and run([base_python(), "-m", "venv", "--clear", args.venv], held):
        raise Stop("{} -m venv failed, its words are above".format(base_python()))
    try:
        pip(args.venv, held, "-r", args.requirements)
        if args.project:
            pip(args.venv, held, "--no-deps", "--no-build-isolation", "-e", args.project)
    except Stop:
        if before:  # pip gave up by itself, which leaves what was there: no reason to make it all anew
            write(stamp, before)
        raise
    write(stamp, "\n".join([python_of(args.venv), os.path.realpath(args.venv), digest(args)]).encode("utf-8"))
    print("setup: {} is ready".format(args.venv))


def pip(venv, held, *arguments):
    """Run `pip install`, its words going to install.log; shown are the large downloads or, if it fails, the end."""
    log, scratch = os.path.join(venv, "install.log"), os.path.join(venv, "tmp")
    environment = dict(os.environ, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONUNBUFFERED="1")
    if not os.path.isdir(scratch):
        os.mkdir(scratch)
    # The wheels pass through the folder for temporary files, which is often a small disk of its own.
    environment["TMPDIR"] = os.path.abspath(scratch)
    if free_gb(venv) < INSTALLED + 2 * DOWNLOAD:  # no room for pip to keep a copy of them
        environment["PIP_NO_CACHE_DIR"] = "1"
    try:
        # Not compiled: most of it is never imported, and Python compiles what is.
        command = [python_in(venv), "-m", "pip", "install", "--no-compile", "--progress-bar", "off"]
        failed = run(command + list(arguments), held, log, environment)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if failed:
        tail = read(log).decode("utf-8", "replace").strip().split("\n")[-8:]
        print("\n".join("    " + line for line in tail), file=sys.stderr)
        raise Stop("pip could not install what is needed, its last lines are above, all in {}: see to the network, "
                   "the proxy or the package mirror, then make again".format(log))


def run(command, held, log=os.devnull, environment=None):
    """Return a command's exit status; it holds the lock too, and ends when this is interrupted."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        pass_fds=held,
    )
    try:
        with open(log, "ab") as kept:
            for line in child.stdout:
                kept.write(line)
                if log == os.devnull or re.search(br"Downloading .*(\d{3}\.\d MB|GB)\)|^Installing coll", line):
                    print("    " + line.decode("utf-8", "replace").partition(": ")[0].strip())
                    sys.stdout.flush()
        return child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise


@contextlib.contextmanager
def lock(venv):
    """Let one process at a time change the environment; yields the file descriptors that hold the lock."""
    if fcntl is None:
        yield ()
        return
    with open(venv + ".lock", "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("setup: another make is setting up {}: waiting for it".format(venv))
            sys.stdout.flush()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield (handle.fileno(),)


def check_python():
    """Raise Stop if this Python is one that the pins have no wheels for."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    cure = "install one and name it, as in make PYTHON=python{}.{}".format(*NEWEST)
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        other = "python3.{}".format(minor)
        if answers([other, "-c", "import ensurepip"]) is not None:
            cure = "make PYTHON=" + other
    wanted = "{}.{} to {}.{}".format(*(OLDEST + NEWEST))
    raise Stop("this needs Python {}, {} is {}: {}".format(wanted, sys.executable, running(), cure))


def check_machine(venv):
    """Raise Stop if a new environment cannot be made here: a module is missing, or the disk is too full."""
    try:
        import ensurepip  # noqa: F401
        import venv as _  # noqa: F401
    except ImportError:
        raise Stop("{} comes without venv: install it (Debian, Ubuntu: apt install python{}-venv) or name another "
                   "Python, make PYTHON=...".format(sys.executable, running()))
    # pip holds all wheels while it installs them; what stands there now will be deleted first.
    needed, free = DOWNLOAD + INSTALLED, free_gb(os.path.dirname(os.path.abspath(venv))) + size_gb(venv)
    if free < needed:
        raise Stop("{} needs {:.1f} GB while it is made, the disk has {:.1f}: make room".format(venv, needed, free))


def free_gb(folder):
    return shutil.disk_usage(folder).free / 1e9


def size_gb(folder):
    files = (os.path.join(top, name) for top, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_size for path in files) / 1e9


def running():
    return "{}.{}".format(*sys.version_info[:2])


def base_python():
    """Return the Python behind this one: the one that runs may itself be in the environment about to be deleted."""
    return getattr(sys, "_base_executable", None) or sys.executable


def python_in(venv):
    return os.path.join(venv, "bin", "python")


def python_of(venv):
    """Return the version of the environment's Python, None if it does not run."""
    return answers([python_in(venv), "-ES", "-c", "import sys; print('{}.{}'.format(*sys.version_info[:2]))"])


def answers(command):
    """Return what a command prints, None if it fails or is not there."""
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError:
        return None
    output = child.communicate()[0]
    return output.decode("utf-8").strip() if child.returncode == 0 else None


def pinned(requirements):
    """Return the names==versions of a requirements file, as `installed` writes them."""
    pins = re.findall(r"^([\w.-]+)==([^\s;]+) *(?:#.*)?$", read(requirements).decode("utf-8"), re.MULTILINE)
    return {"{}=={}".format(re.sub("[-_.]+", "-", name).lower(), version) for name, version in pins}


def installed(venv):
    """Return names==versions of what pip has installed, without a local part: a CPU build of torch is torch."""
    folders = glob.glob(os.path.join(glob.escape(venv), "lib", "python*", "site-packages", "*.dist-info"))
    found = (os.path.basename(folder)[: -len(".dist-info")].partition("-") for folder in folders)
    return {"{}=={}".format(re.sub("[-_.]+", "-", name).lower(), version.split("+")[0]) for name, _, version in found}


def digest(args):
    """Return a hash of what is installed from: the pins, and the project's own packaging."""
    files = [args.requirements] + ([os.path.join(args.project, "pyproject.toml")] if args.project else [])
    return hashlib.sha256(b"\0".join(read(path) for path in files)).hexdigest()


def stamp_of(venv):
    return os.path.join(venv, "complete")


def read(path):
    """Return a file's bytes, none if it is not there."""
    if not os.path.exists(path):
        return b""
    with open(path, "rb") as handle:
        return handle.read()


def write(path, content):
    """Write a file so that it is there whole or not at all."""
    with open(path + ".new", "wb") as handle:
        handle.write(content)
    os.rename(path + ".new", path)


if __name__ == "__main__":
    sys.exit(main())
