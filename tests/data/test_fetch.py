"""What ``fetch.py`` promises, tried with torchvision's own loaders against servers on this machine."""

# ruff: noqa: F401, F811  (name and place are fixtures)

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from standins import MNIST, REAL, expect_tiny, name, place, real, tiny_contents

from tinycnn.data import download as fetch
from tinycnn.data import files as data
from tinycnn.errors import DataMissing, UserError


def md5(content):
    return hashlib.md5(content).hexdigest()


def archives_of(name, contents):
    """Pack files, name -> bytes, as the published archives are packed."""
    if name != "cifar10":
        return {f"{n}.gz": gzip.compress(c, compresslevel=1, mtime=0) for n, c in contents.items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for n, content in contents.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{n}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return {"cifar-10-python.tar.gz": packed.getvalue()}


def expect_archives(monkeypatch, name, contents, archives):
    """Make torchvision expect these archives: packed anew, even the real files give other sums than the published."""
    import torchvision

    loader = getattr(torchvision.datasets, data.LAYOUTS[name].loader)
    if name != "cifar10":
        monkeypatch.setattr(loader, "resources", [(n, md5(c)) for n, c in archives.items()])
        return
    monkeypatch.setattr(loader, "tgz_md5", md5(archives["cifar-10-python.tar.gz"]))
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(loader, part, [[n, md5(contents[n])] for n, _ in getattr(loader, part)])
    monkeypatch.setattr(loader, "meta", {**loader.meta, "md5": md5(contents["batches.meta"])})


@contextlib.contextmanager
def serving(folder):
    """Serve ``folder`` on this machine; yields its address and the list of paths asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

        def copyfile(self, *files):
            with contextlib.suppress(ConnectionError):  # torchvision hangs up midway when it looks for redirects
                super().copyfile(*files)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirror(place, name, tmp_path, monkeypatch):
    """Take the stand-in away from its place and serve it, packed; yields the address and the paths asked for."""
    shutil.rmtree(tmp_path / "own")
    contents = tiny_contents(name)
    archives = archives_of(name, contents)
    expect_archives(monkeypatch, name, contents, archives)
    (tmp_path / "served").mkdir()
    for n, content in archives.items():
        (tmp_path / "served" / n).write_bytes(content)
    with serving(tmp_path / "served") as (address, asked):
        monkeypatch.setenv("TINYCNN_MIRROR", address)
        yield address, asked


def left_in(root):
    return sorted(p.name for p in root.rglob("*") if p.suffix != ".lock") if root.exists() else []


def test_an_absent_set_comes_from_the_mirror_and_only_once(mirror, place, name, tmp_path, capfd):
    split = data.load(name)
    assert split.path == str(place) and len(split.train.labels) == 50
    assert {file: (place / file).read_bytes() for file in tiny_contents(name)}.items() == tiny_contents(name).items()
    out, err = capfd.readouterr()
    assert out == "" and f"fetching {name}" in err and "%" in err  # progress, on stderr
    assert socket.getdefaulttimeout() is None
    assert [p.name for p in (tmp_path / "own").iterdir() if p.name.startswith(f".{name}-")] == []
    asked = len(mirror[1])
    assert data.load(name).digest == split.digest and len(mirror[1]) == asked


def test_a_mirror_may_keep_each_set_in_a_folder_of_its_name(mirror, name, tmp_path):
    files = list((tmp_path / "served").iterdir())
    (tmp_path / "served" / name).mkdir()
    for file in files:
        file.rename(tmp_path / "served" / name / file.name)
    assert len(data.load(name).train.labels) == 50


def test_without_tinycnn_data_it_goes_to_the_repositorys_data(mirror, name, tmp_path, monkeypatch):
    monkeypatch.delenv("TINYCNN_DATA")
    assert data.load(name).path == str(tmp_path / "repository" / "data" / data.LAYOUTS[name].folder)


@real("MNIST/raw")
def test_the_real_mnist_comes_over_http_whole(tmp_path, monkeypatch):
    here = data.load("mnist")
    contents = {n: Path(REAL, "MNIST/raw", n).read_bytes() for n in MNIST}
    archives = archives_of("mnist", contents)
    expect_archives(monkeypatch, "mnist", contents, archives)
    (tmp_path / "served").mkdir()
    for n, content in archives.items():
        (tmp_path / "served" / n).write_bytes(content)
    monkeypatch.setenv("TINYCNN_DATA", str(tmp_path / "own"))
    monkeypatch.setattr(data, "ROOT", tmp_path / "repository")
    monkeypatch.setenv("no_proxy", "*")
    with serving(tmp_path / "served") as (address, _):
        monkeypatch.setenv("TINYCNN_MIRROR", address)
        there = data.load("mnist")
    assert there.path != here.path and there.digest == here.digest


def test_offline_never_touches_the_network(mirror, name, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    with pytest.raises(DataMissing) as caught:
        data.load(name, offline=True)
    message = str(caught.value)
    assert name in message and str(tmp_path / "own") in message and "TINYCNN_DATA" in message and "\n" not in message
    assert mirror[1] == [] and not (tmp_path / "own").exists()


def test_a_dead_mirror_is_data_missing(mirror, name, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("TINYCNN_MIRROR", f"http://127.0.0.1:{port}")
    with pytest.raises(DataMissing, match="refused") as caught:
        data.load(name)
    assert "\n" not in str(caught.value) and left_in(tmp_path / "own") == []


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\nand then no more"])
def test_a_silent_server_is_given_up_after_the_timeout(mirror, name, answer, tmp_path, monkeypatch):
    def reply(listening):
        with contextlib.suppress(OSError):
            while True:
                held.append(listening.accept()[0])
                held[-1].sendall(answer)

    held = []
    monkeypatch.setattr(fetch, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=reply, args=(listening,), daemon=True).start()
        monkeypatch.setenv("TINYCNN_MIRROR", f"http://127.0.0.1:{listening.getsockname()[1]}")
        begin = time.monotonic()
        with pytest.raises(DataMissing, match="timed out"):
            data.load(name)
        assert time.monotonic() - begin < 3
    assert left_in(tmp_path / "own") == [] and socket.getdefaulttimeout() is None


@pytest.mark.parametrize("garbage", [b"<html>log in first</html>", None])
def test_a_mirror_with_other_bytes_leaves_nothing_behind(mirror, name, garbage, tmp_path):
    last = max((tmp_path / "served").iterdir())
    last.write_bytes(garbage or last.read_bytes()[:-20])
    with pytest.raises(DataMissing) as caught:
        data.load(name)
    assert "\n" not in str(caught.value) and left_in(tmp_path / "own") == []


def test_unpacked_files_are_checked_before_they_get_into_place(mirror, name, tmp_path, monkeypatch):
    other = {n: content[:-1] + b"\x01" for n, content in tiny_contents(name).items()}
    expect_tiny(monkeypatch, name, other)  # torchvision is content with its archives, we are not with what was in them
    with pytest.raises(DataMissing, match="other content"):
        data.load(name)
    assert left_in(tmp_path / "own") == []


def test_an_interruption_leaves_nothing_in_place(mirror, name, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "_check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load(name)
    assert left_in(tmp_path / "own") == []


def test_what_the_user_has_beside_it_stays(mirror, place, name, tmp_path):
    place.parent.mkdir(parents=True)
    (place.parent / "notes.txt").write_text("mine")
    place.mkdir()  # an empty folder is no damage
    data.load(name)
    assert (place.parent / "notes.txt").read_text() == "mine"


def test_a_folder_with_only_other_files_is_not_filled_up(mirror, place, name):
    place.mkdir(parents=True)
    (place / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is missing"):
        data.load(name)
    assert mirror[1] == [] and [p.name for p in place.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["mnist"])
def test_an_address_that_is_none_is_refused(mirror, name, monkeypatch):
    monkeypatch.setenv("TINYCNN_MIRROR", "file:///etc")
    with pytest.raises(UserError, match="TINYCNN_MIRROR") as caught:
        data.load(name)
    assert not isinstance(caught.value, DataMissing)


@pytest.mark.parametrize("name", ["mnist"])
def test_a_torchvision_that_cannot_be_imported_is_data_missing(mirror, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(DataMissing, match="torchvision, which downloads it, cannot be imported"):
        data.load(name)


TWO = """
import sys, time
from pathlib import Path
from tinycnn.data import download as fetch

class Slow:
    def __init__(self, root, download):
        print("downloading", flush=True)
        Path(root, "set").mkdir()
        time.sleep(1.5)
        Path(root, "set", "file").write_text("whole")

fetch._loader = lambda name: Slow
root = Path(sys.argv[1])
fetch.fetch("mnist", "MNIST", root, "set", Path.exists, lambda folder: None)
assert (root / "set" / "file").read_text() == "whole"
"""


def test_two_processes_that_fetch_at_once_both_succeed_with_one_download(tmp_path):
    command = [sys.executable, "-c", TWO, str(tmp_path / "own")]
    root = Path(fetch.__file__).parent.parent
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=root, **pipes) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "".join(said).count("downloading") == 1 and "waiting for another process" in "".join(said)
    assert left_in(tmp_path / "own") == ["file", "set"]
