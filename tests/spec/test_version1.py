"""Specs of version 1, in which networks had names, are read as the same experiments: same weights, same evidence."""

import csv
import hashlib
import json
from pathlib import Path

import pytest
import torch

from tinycnn import ROOT
from tinycnn.spec import Spec
from tinycnn.spec import load as experiments
from tinycnn.spec.load import hash_now
from tinycnn.train.loop import seeded, stream_seed

FILES = {path.stem: path.read_text() for path in (Path(__file__).parents[1] / "version1").glob("*.json")}
# The SHA-256 of the initial weights of seed 0, tensor after tensor, by the last commit of version 1 (0d4fcc3).
THEN = {
    "exp1": "328215eb7d82ea9bfe3ceadc116bd2c9",
    "exp2": "411892acb265559725a306c2f06373d4",
    "exp3": "8cab6dcbe834261ceb491ceb8d0d57f8",
    "exp4": "8cab6dcbe834261ceb491ceb8d0d57f8",
    "exp5": "54db220b7a6803c4e4b6a5a26ee2622e",
    "sprint": "6809d19eceea8fee99ba517f36a9512d",
    "cifar1": "7ec386fc0bc2ed32b31706e16fbbdd17",
}


def weights(spec):
    """Return the digest of the initial weights of seed 0."""
    facts = spec.data.facts()
    with seeded(stream_seed(0, "weights"), torch.device("cpu")):
        network = spec.model.build((facts.channels, facts.size, facts.size), len(facts.classes))
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


@pytest.mark.parametrize("name", THEN)
def test_the_experiment_in_layers_is_the_one_of_version_1_and_begins_with_the_same_weights(name):
    spec, now = Spec.from_json(FILES[name]), experiments.load(name)
    as_then = now.with_values({"train.epochs": spec.train.epochs})  # sprint takes fewer since
    assert spec.hash == as_then.hash and spec.difference(as_then) == {}
    assert weights(spec) == weights(now) == THEN[name]
    with open(ROOT / "reports" / "evidence" / f"{name}.csv", encoding="utf-8") as file:
        assert {row["spec_hash"] for row in csv.DictReader(file)} == {now.hash}


def test_every_other_field_keeps_its_value():
    for text in FILES.values():
        then, now = json.loads(text), json.loads(Spec.from_json(text).to_json())
        for section in ("data", "augment", "optimizer", "schedule", "loss", "train", "target"):
            assert {field: now[section][field] for field in then[section]} == then[section]


def test_a_hash_is_that_of_the_spec_as_it_is_now_or_none():
    now = experiments.load("exp3")
    assert hash_now(FILES["exp3"], "a0971df30e9e") == hash_now(now.to_json(), now.hash) == now.hash
    assert hash_now(now.to_json(), "0" * 12) is hash_now("[]", "0" * 12) is hash_now(None, "0" * 12) is None
