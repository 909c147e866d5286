"""Downloads, by torchvision's own loaders from a server on this machine."""

# ruff: noqa: F401, F811  (name and folder are fixtures)

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import shutil
import socket
import tarfile
import threading
import time
from pathlib import Path

import pytest
from standins import expect_tiny, folder, md5, name, tiny_contents, write

from tinycnn.data import download
from tinycnn.data import files as data
from tinycnn.errors import DataMissing, UserError


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
    """Make torchvision expect the checksums of these archives."""
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
    """Serve ``folder`` on this machine; yields its address and the list of requested paths."""
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
def mirror(folder, name, tmp_path, monkeypatch):
    """Remove the stand-in and serve it, packed; yields the address and the requested paths."""
    shutil.rmtree(tmp_path / "own")
    contents = tiny_contents(name)
    archives = archives_of(name, contents)
    expect_archives(monkeypatch, name, contents, archives)
    write(tmp_path / "served" / name, archives)
    with serving(tmp_path / "served") as (address, asked):
        monkeypatch.setenv("TINYCNN_MIRROR", address)
        yield address, asked


only_mnist = pytest.mark.parametrize("name", ["mnist"])


def left_in(root):
    return sorted(p.name for p in root.rglob("*") if p.suffix != ".lock") if root.exists() else []


def test_an_absent_set_comes_from_the_mirror_and_only_once(mirror, folder, name, tmp_path, capfd):
    split = data.load(name)
    assert split.path == str(folder) and len(split.train.labels) == 50
    assert {file: (folder / file).read_bytes() for file in tiny_contents(name)}.items() == tiny_contents(name).items()
    out, err = capfd.readouterr()
    assert out == "" and f"downloading {name}" in err and "%" in err  # progress, on stderr
    assert socket.getdefaulttimeout() is None
    assert [p.name for p in (tmp_path / "own").iterdir() if p.name.startswith(f".{name}-")] == []
    asked = len(mirror[1])
    assert data.load(name).digest == split.digest and len(mirror[1]) == asked


@only_mnist
def test_offline_never_touches_the_network(mirror, name, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    with pytest.raises(DataMissing) as caught:
        data.load(name, offline=True)
    message = str(caught.value)
    assert name in message and str(tmp_path / "own") in message and "TINYCNN_DATA" in message and "\n" not in message
    assert mirror[1] == [] and not (tmp_path / "own").exists()


@only_mnist
def test_a_mirror_with_other_content_leaves_nothing_behind(mirror, name, tmp_path):
    max((tmp_path / "served" / name).iterdir()).write_bytes(b"<html>log in first</html>")
    with pytest.raises(DataMissing) as caught:
        data.load(name)
    assert "\n" not in str(caught.value) and left_in(tmp_path / "own") == []


@only_mnist
def test_a_silent_server_is_given_up_after_the_timeout(mirror, name, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("TINYCNN_MIRROR", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DataMissing, match="timed out"):
            data.load(name)


@only_mnist
@pytest.mark.parametrize("error", [UserError("differs"), KeyboardInterrupt()], ids=repr)
def test_what_is_not_the_published_set_or_was_interrupted_leaves_nothing_behind(mirror, tmp_path, monkeypatch, error):
    def stop(*_):
        raise error

    monkeypatch.setattr(data, "_check", stop)
    with pytest.raises((DataMissing, KeyboardInterrupt)):
        data.load("mnist")
    assert left_in(tmp_path / "own") == []


@only_mnist
def test_a_folder_with_other_files_is_not_filled(mirror, folder, name):
    write(folder, {"notes.txt": b"mine"})
    with pytest.raises(UserError, match="is missing"):
        data.load(name)
    assert mirror[1] == [] and [p.name for p in folder.iterdir()] == ["notes.txt"]


def test_two_processes_share_one_download(tmp_path, monkeypatch):
    begun = []

    def slow(name, root, mirror):
        begun.append(root)
        Path(root, "set").mkdir()
        time.sleep(0.3)
        Path(root, "set", "file").write_text("whole")

    monkeypatch.setattr(download, "_download", slow)
    arguments = "mnist", "MNIST", tmp_path / "own", "set", Path.exists, lambda folder: None
    both = [threading.Thread(target=download.fetch, args=arguments) for _ in range(2)]
    [each.start() for each in both]
    [each.join() for each in both]
    assert len(begun) == 1 and left_in(tmp_path / "own") == ["file", "set"]
