"""The card of a record: what it is, how accurate, where it comes from, and what it is not for."""

import textwrap

from tinycnn.track.statistics import words
from tinycnn.track.tables import markdown
from tinycnn.zoo.record import PROGRAM, WEIGHTS

_WIDTH = 120


def text(facts: dict) -> str:
    """Return card.md for the facts of card.json."""
    name, data, seeds = facts["name"], facts["data"]["name"], facts["seeds"]
    channels, height, width = facts["shape"]
    whole = facts["accuracy"][f"{name}.c"]
    picture = f"{'grey' if channels == 1 else 'colour'} images of {height}×{width} pixels"
    body = f"""\
<!-- written by `python -m tinycnn zoo --add` from card.json -->
# {name}

A convolutional network of {facts["parameters"]:,} parameters for {picture}, trained on {data}. In whole numbers of 8 \
bits it is right for {whole:.2f} % of the {facts["images"]:,} test images.

{_facts(facts)}

## Accuracy

The training, over {seeds["n"]} seeds, on {seeds["evaluated_on"]} images: {words(seeds)}.

This record is seed {facts["chosen"]["seed"]}. It is the median of the seeds by accuracy on {facts["chosen"]["by"]} \
({facts["chosen"]["value"]:.2f} %). Test images had no part in the choice. The files of this very seed, on all \
{facts["images"]:,} test images:

{_files(facts)}

## Use

```python
from tinycnn import zoo

network = zoo.load("{name}")
logits = network(images)   # images: uint8 (N, {channels}, {height}, {width})
```

Classes, in order: {", ".join(facts["classes"])}. The ONNX files take the same images. `{name}.h` documents the C \
function; it takes a pixel's channels side by side.

## Data and licence

Data: {data} ({facts["data"]["source"]}). Licence of the data: {facts["data"]["licence"]}. The data are not part of \
this record. The weights and the code are under the MIT licence of the repository.

## How it was made

From commit {facts["commit"] or "unknown"}{" with uncommitted changes" * facts.get("dirty", False)}, with \
`spec.json` beside this card:

```sh
{_commands(facts)}
```

## Limits

- It knows images that were prepared as those of {data} were, and no others. Its accuracy on other images is not \
known, and likely lower.
- It gives one of its {len(facts["classes"])} classes for any image, also for one that shows none of them. Its scores \
are not calibrated: a high one is no proof.
- The accuracy is a mean over the test images. For single writers, cameras or kinds of images it was not measured, nor \
for noise, turned images or images made to deceive it.
- Do not use it where a mistake harms somebody and nobody checks it: cheques, forms, votes, addresses, medicine, \
traffic, access, or judging and watching people. It is for teaching, for research, and for trying out hardware.
"""
    return "\n".join(map(_filled, body.split("\n")))


def _filled(line: str) -> str:
    """Break a line of prose, so that the file can be read as it is."""
    if len(line) <= _WIDTH or line.startswith(("|", "python ")):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _facts(facts) -> str:
    size = facts["bytes"]
    rows = [
        ("parameters", f"{facts['parameters']:,}"),
        ("multiply-accumulates", f"{facts['macs']:,} for an image"),
        ("weights, float32", f"{size[WEIGHTS] / 1000:.1f} kB"),
        ("constants of the C program", f"{facts['flash'] / 1000:.1f} kB of flash"),
        ("memory of the C program", f"{facts['ram'] / 1000:.1f} kB of RAM"),
        ("experiment", f"{facts['experiment']} (spec {facts['spec_hash']})"),
        ("layers", facts["network"]),
    ]
    return markdown(("fact", "value"), rows, "<<")


def _files(facts) -> str:
    name, size, accuracy = facts["name"], facts["bytes"], facts["accuracy"]
    what = {
        WEIGHTS: f"float32, {facts['weights']}; `spec.json` says the network",
        f"{name}.onnx": "ONNX, float32",
        f"{name}.int8.onnx": "ONNX, 8 bits",
        f"{name}.c": f"C99 in whole numbers, with `{name}.h`",
        PROGRAM: "the same whole numbers as JSON: reference of the C, and the page's network",
    }
    values = accuracy | {PROGRAM: accuracy[f"{name}.c"]}
    rows = [(each, f"{size[each]:,}", f"{values[each]:.2f}", about) for each, about in what.items()]
    return markdown(("file", "bytes", "test %", "what"), rows, "<>><")


def _commands(facts) -> str:
    seeds = facts["seeds"]["each"]
    settings = f" --set {facts['settings']}" if facts["settings"] else ""
    return (
        f"python -m tinycnn run {facts['experiment']}{settings} --seeds {len(seeds)} --first-seed {seeds[0]['seed']}\n"
        f"python -m tinycnn zoo --add {facts['run']} --as {facts['name']}"
    )
