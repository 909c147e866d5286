"""What docs/security.md and docs/shared.md claim: who can reach what, and what is read as data and never run."""

import contextlib
import io
import json
import os
import pickle
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
import requests
import torch
import yaml

from tinycnn import ROOT, zoo
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import Spec, load
from tinycnn.train import checkpoint

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


class Touch:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_is_not_run(tmp_path):
    made, file = tmp_path / "made", tmp_path / "seed-0.pt"
    archive = io.BytesIO()
    torch.save({"epoch": 1, "network": Touch(made)}, archive)
    for content in (pickle.dumps(Touch(made)), checkpoint._with_digest(archive.getvalue())):
        file.write_bytes(content)
        with pytest.raises(UserError, match="damaged, or none of tinycnn"):
            checkpoint.load(file)
    assert not made.exists()
    torch.load(io.BytesIO(archive.getvalue()), weights_only=False)
    assert made.exists(), "it would have been run"


def test_weights_in_the_zoo_that_are_a_pickle_are_refused_and_not_run(tmp_path):
    name, made = zoo.names()[0], tmp_path / "made"
    folder = shutil.copytree(zoo.FOLDER / name, tmp_path / "zoo" / name)
    (folder / "weights.safetensors").write_bytes(pickle.dumps(Touch(made)))
    with pytest.raises(UserError, match="checksum"):
        zoo.load(name, tmp_path / "zoo")
    listed = subprocess.check_output(["sha256sum", "weights.safetensors"], cwd=folder, text=True)
    sums = (folder / "checksums").read_text()
    (folder / "checksums").write_text(re.sub(r".*weights\.safetensors\n", listed, sums))
    with pytest.raises(Exception) as caught:  # whatever the library says
        zoo.load(name, tmp_path / "zoo")
    assert not made.exists() and "checksum" not in str(caught.value)


@pytest.mark.parametrize("thing", ["os:system", "subprocess:run", "builtins:exec"])
def test_a_record_cannot_name_a_function_of_the_standard_library_as_its_network(thing, tmp_path):
    record = json.loads(load.load("exp3").to_json())
    record["model"] = {"kind": "custom", "network": thing, "options": {"command": f"touch {tmp_path / 'made'}"}}
    with pytest.raises(SpecError):
        Spec.from_json(json.dumps(record), where="a record").model.build((1, 28, 28), 10)
    assert not (tmp_path / "made").exists()


def commands_of(page: str) -> list[list[str]]:
    """Return the commands in the shell blocks of a page, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return [words for line in "\n".join(blocks).splitlines() if (words := shlex.split(line, comments=True))]


def test_compose_has_the_commands_of_the_page_and_the_pinned_versions_and_listens_here_alone():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    (server,) = [words for words in commands_of("shared.md") if words[:2] == ["mlflow", "server"]]
    composed = shlex.split(services["mlflow"]["command"].replace("${HOSTS:-localhost:5000}", "login:5000"))
    assert composed == server
    from mlflow.cli import cli

    cli.commands["server"].make_context("server", server[2:])  # which knows every option
    pins = (ROOT / "requirements.txt").read_text()
    installed = re.findall(r"[\w-]+==[\d.]+", services["mlflow"]["build"]["dockerfile_inline"])
    assert len(installed) == 5 and all(re.search(rf"^{re.escape(pin)}\s", pins, re.MULTILINE) for pin in installed)
    for name, service in services.items():
        assert all(port.startswith(("127.0.0.1:", "${BIND:-127.0.0.1}:")) for port in service["ports"]), name
        assert "PASSWORD" not in json.dumps(service.get("command"))
    assert services["dashboard"]["ports"] == ["127.0.0.1:8080:8080"]
    asked = [words for words in commands_of("security.md") if "mlflow" in words[0]]
    assert asked == [["mlflow", "server", "--app-name", "basic-auth", "..."]]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ui", "dashboard"])
def test_the_interfaces_listen_on_this_machine_alone_and_show_others_no_address(target, tmp_path, database):
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bootstrap.py").write_text("")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    port = free_port()
    addresses = {"MLFLOW_TRACKING_URI": f"sqlite:///{database}", "OPTUNA_STORAGE": f"sqlite:///{tmp_path}/studies.db"}
    command = ["make", target, f"PORT={port}", f"PYTHON={sys.executable}"]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | addresses, start_new_session=True)
    try:
        listening, lines = set(), []
        for _ in range(1200):
            assert process.poll() is None
            made = psutil.Process(process.pid)
            for each in [made, *made.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    lines += each.cmdline()
                    found = (c.laddr for c in each.net_connections() if c.status == psutil.CONN_LISTEN)
                    listening |= {(address.ip, address.port) for address in found}
            if port in {number for _, number in listening}:
                break
            time.sleep(0.25)
        assert {ip for ip, _ in listening} == {"127.0.0.1"}
        assert lines and not [word for word in lines if "sqlite" in word], "an address may hold a password"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(not NGINX, reason="needs nginx")
def test_behind_the_proxy_of_the_page_nobody_gets_in_without_a_password(tmp_path):
    page = (ROOT / "docs" / "security.md").read_text()
    server = re.search(r"```nginx\n(.*?)```", page, re.DOTALL)[1]
    port, behind = free_port(), free_port()
    users, key, certificate = (tmp_path / name for name in ("users", "key.pem", "certificate.pem"))
    server = re.sub(r"listen \d+", f"listen 127.0.0.1:{port}", server).replace("127.0.0.1:8080", f"127.0.0.1:{behind}")
    files = {"ssl_certificate ": certificate, "ssl_certificate_key": key, "auth_basic_user_file": users}
    for line, path in files.items():
        server = re.sub(rf"{line}\s*[^;]+;", f"{line} {path};", server)
    made = ["-newkey", "rsa:2048", "-nodes", "-subj", "/", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", "req", "-x509", *made, "-keyout", key, "-out", certificate], check=True)
    secret = subprocess.check_output(["openssl", "passwd", "-apr1", "a password"], text=True)
    users.write_text(f"someone:{secret}")
    (tmp_path / "studies").write_text("the studies")
    (tmp_path / "nginx.conf").write_text(
        f"user root; daemon off; pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {server} }}"
    )
    proxy = [NGINX, "-c", tmp_path / "nginx.conf", "-e", "stderr"]
    served = [sys.executable, "-m", "http.server", str(behind), "--bind", "127.0.0.1", "--directory", tmp_path]
    with contextlib.ExitStack() as ended:
        for each in (served, proxy):
            process = ended.enter_context(subprocess.Popen(each))  # waits, once it was told to end
            ended.callback(process.terminate)

        def got(auth=None):
            return requests.get(f"https://localhost:{port}/studies", verify=certificate, auth=auth)

        for _ in range(100):
            with contextlib.suppress(requests.ConnectionError):
                if got(("someone", "a password")).status_code == 200:
                    break
            time.sleep(0.1)
        assert got(("someone", "a password")).text == "the studies"
        assert got().status_code == got(("someone", "another")).status_code == 401


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
