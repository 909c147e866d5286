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
from tinycnn.spec.version1 import hash_then
from tinycnn.train.loop import seeded, stream_seed

FILES = {path.stem: path.read_text() for path in (Path(__file__).parents[1] / "version1").glob("*.json")}
# What the last commit of version 1 (0d4fcc3) gave for these files: the hash of the spec, and the SHA-256 of the initial
# weights of seed 0, tensor after tensor.
THEN = {
    "exp1": ("606dc3f6f71a", "328215eb7d82ea9bfe3ceadc116bd2c9"),
    "exp2": ("a905483bf3f7", "411892acb265559725a306c2f06373d4"),
    "exp3": ("a0971df30e9e", "8cab6dcbe834261ceb491ceb8d0d57f8"),
    "exp4": ("1f0dc436d9a5", "8cab6dcbe834261ceb491ceb8d0d57f8"),
    "exp5": ("74f32598ca3f", "54db220b7a6803c4e4b6a5a26ee2622e"),
    "sprint": ("91f05804f6ea", "6809d19eceea8fee99ba517f36a9512d"),
    "cifar1": ("c4edcf346f30", "7ec386fc0bc2ed32b31706e16fbbdd17"),
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
    assert spec.hash == now.hash and spec.difference(now) == {}
    assert hash_then(json.loads(FILES[name])) == THEN[name][0]
    assert weights(spec) == weights(now) == THEN[name][1]
    with open(ROOT / "reports" / "evidence" / f"{name}.csv", encoding="utf-8") as file:
        assert {row["spec_hash"] for row in csv.DictReader(file)} == {spec.hash}


def test_every_other_field_keeps_its_value():
    for text in FILES.values():
        then, now = json.loads(text), json.loads(Spec.from_json(text).to_json())
        for section in ("data", "augment", "optimizer", "schedule", "loss", "train", "target"):
            assert {field: now[section][field] for field in then[section]} == then[section]


def test_a_hash_is_converted_only_if_it_is_that_of_the_spec():
    text = FILES["exp3"]
    assert hash_now(text, THEN["exp3"][0]) == experiments.load("exp3").hash
    assert hash_now(text, "0" * 12) is None
    now = Spec.from_json(text)
    assert hash_now(now.to_json(), now.hash) == now.hash and hash_now("[]", "0" * 12) is None
