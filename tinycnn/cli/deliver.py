"""The command that copies runs made offline to a server."""

import os

import click

from tinycnn.cli.main import command, note
from tinycnn.errors import SpecError


@command(
    click.argument("uri", required=False, help="Address of the server (default: MLFLOW_TRACKING_URI)."),
    examples=("deliver http://login:5000",),
)
def deliver(uri):
    """Copy the finished runs of this machine's store to a server, each once.

    They are those in the file that MLFLOW_TRACKING_URI names, or in mlflow.db.
    """
    from tinycnn.track import address

    if uri and address.shown(uri) != uri:
        ways = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise SpecError(f"deliver: everybody on this machine can read a password here; set {ways} in its place")
    source = address.database() or address.default()
    os.environ["MLFLOW_TRACKING_URI"] = uri or address.uri()
    if address.database() == source:
        raise SpecError("deliver: no server is given: name its address, or set MLFLOW_TRACKING_URI to it")
    from tinycnn.track import mlflow_delivery

    found = mlflow_delivery.deliver(source, note)
    text = f"{found['delivered']} runs delivered from {source} to {address.shown(address.uri())}"
    return found, f"{text}; {found['there']} were there, {found['unfinished']} have not finished"
