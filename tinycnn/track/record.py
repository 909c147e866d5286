"""What the store holds of a run, delivered part by part, each once; what the store does not take now waits."""

import contextlib
import copy
import json
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from analysis.plots import training as pictures
from tinycnn.errors import StoreTrouble, UserError
from tinycnn.track import provenance, tables, verdict
from tinycnn.track.description import describe
from tinycnn.track.mlflow_store import Run, is_number, troubles
from tinycnn.train import checkpoint

CLOCKS = ("seconds", "images_per_second")
"""Metrics that are clock readings: all others come out the same when a run is made again."""

_REST = 10  # a store in trouble is let alone for so many times as long as the last try took


class Record:
    """The record of one run. ``trouble`` is the store's last complaint; "" when it has taken everything so far."""

    def __init__(self, run: Run, plan, params: dict, warn):
        self.run, self.plan, self.trouble = run, plan, ""
        self._params, self._warn, self._begun, self._rest_until = params, warn, False, 0.0

    def attempt(self, *parts, patient=False) -> bool:
        """Deliver what the run can be made again from, then ``parts``; False where the store does not take it all.

        After a failure the store is let alone for a while, unless this is ``patient``.
        """
        begun = time.monotonic()
        if begun < self._rest_until and not patient:
            return False
        try:
            for part in (self._begin, *parts):
                part()
        except StoreTrouble as error:
            self._rest_until = time.monotonic() + _REST * (time.monotonic() - begun)
            if not self.trouble:
                self._warn(f"{error}. Training goes on; what the store does not take waits in a checkpoint")
            self.trouble = self.run.failure = str(error)
            return False
        self.trouble = self.run.failure = ""
        return True

    def _begin(self):
        if self._begun:
            return
        self.run.open()
        if self.run.new:
            self._log_start()
        else:
            self._take_up()
        self._begun = True

    def _log_start(self):
        plan = self.plan
        self.run.params(self._params)
        self.run.description(describe(plan.spec, plan.measured, None, None, plan.fallback))
        self.run.text("layers.md", tables.layer_table(plan.measured.layers))
        if difference := provenance.uncommitted():
            self.run.text("uncommitted.diff", difference)
        self.run.text("code.json", json.dumps(plan.code, indent=1) + "\n")
        for path in provenance.own_files(plan.code):
            self.run.text(f"source/{path.name}", path.read_text(encoding="utf-8"))
        self.run.text("spec.json", plan.spec.to_json())  # the last of these: where it is, the others are

    def _take_up(self):
        """Go on with a record that another process began, and may not have got far with."""
        self.run.clear_uploads()
        if self.run.store.read(self.run.id, "spec.json") is None:
            self._log_start()
        tags = self.run.store.entity(self.run.id).data.tags
        self.run.untag(*(name for name in ("tinycnn.failure", "tinycnn.last_good_epoch") if name in tags))
        before = tags.get("tinycnn.resumed", "")
        self.run.tags({"tinycnn.resumed": int(before) + 1 if is_number(before) else 1})


class SeedRecord(Record):
    """The record of the training of one seed."""

    def __init__(self, run: Run, plan, seed: int, warn):
        super().__init__(run, plan, plan.spec.brief() | {"seed": seed}, warn)
        self.seed = seed
        self._stored = {}  # by epoch, the metrics the store has

    def deliver(self, history: list) -> bool:
        """Bring the record up to ``history``. Raises UserError where the store has other numbers of the same epoch."""
        return self.attempt(lambda: self._log_epochs(history))

    def complete(self, history: list, state, summary: dict) -> bool:
        """Bring the record up to ``history``, add what comes after the last epoch, and end the run."""
        return self.attempt(
            lambda: self._log_epochs(history),
            lambda: self._log_end(history, state, summary),
            lambda: self.run.end("FINISHED"),
            patient=True,
        )

    def give_up(self, history: list):
        """Say how far a training came that does not go on, if the store will hear it."""
        if history and self.run.id:
            with contextlib.suppress(StoreTrouble):
                self.run.tags({"tinycnn.last_good_epoch": history[-1].epoch})

    def _log_start(self):
        self.run.dataset(self.plan.data)
        super()._log_start()

    def _take_up(self):
        super()._take_up()
        for name in (*_fields(self.plan.data.kind), *_both(self.plan.data.kind)):
            for epoch, value in self.run.store.history(self.run.id, name).items():
                self._stored.setdefault(epoch, {})[name] = value

    def _log_epochs(self, history):
        for result in history:
            values = epoch_metrics(result, self.plan.data.kind)
            there = self._stored.get(result.epoch)
            if there is None:
                self.run.metrics(values, result.epoch, result.ended)
                self._stored[result.epoch] = values
                continue
            for name in values.keys() - CLOCKS:
                if there.get(name) != values[name]:
                    raise UserError(
                        f"run {self.run.id}: epoch {result.epoch} has {name} {there.get(name)!r} in the store and came "
                        f"out as {values[name]!r}; the record was left as it is: train anew with `run`"
                    )

    def _log_end(self, history, state, summary):
        """Log what a finished training comes to: figures, verdict, tables, pictures, model and checkpoint."""
        plan, run, last = self.plan, self.run, history[-1]
        judged = verdict.judge(plan.spec, [summary], kind=plan.data.kind, fallback=bool(plan.fallback))
        run.metrics(
            {f"{name}_accuracy": summary[name] for name in ("last", "best", "min_last5", "clean_train")}
            | {name: summary[name] for name in ("best_epoch", "first_epoch_at_target")}
            | {
                "train_test_gap": summary["clean_train"] - summary["last"],
                "parameters": plan.measured.parameters,
                "macs": plan.measured.macs,
                "receptive_field": plan.measured.receptive_field,
            },
            last.epoch,
            last.ended,
        )
        run.tags(
            {
                "tinycnn.verdict": judged[0],
                "tinycnn.weights": checkpoint.weights_digest(state.result),
                "tinycnn.last_good_epoch": last.epoch,
            }
        )
        run.description(describe(plan.spec, plan.measured, summary, judged, plan.fallback))
        log_mistakes(run, plan, state)
        log_pictures(run, plan, history, state)
        with troubles(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.pt"
            checkpoint.save(path, spec=plan.spec, seed=self.seed, run_id=run.id, state=state, history=history)
            run.file(path)
        shape = tuple(plan.data.train.images.shape[1:])
        model = with_normalisation(state.result, plan.data)
        run.model(model, shape, len(plan.data.classes), provenance.versions()["torch"])


class ParentRecord(Record):
    """The record of several seeds, each of which has one of its own below it."""

    def __init__(self, run: Run, plan, warn):
        super().__init__(run, plan, plan.spec.brief(), warn)

    def complete(self, outcome: dict) -> bool:
        """Add what the seeds came to, and end the run."""
        return self.attempt(lambda: self._log_end(outcome), lambda: self.run.end("FINISHED"), patient=True)

    def _log_end(self, outcome):
        figures = {f"{name}_accuracy_{what}": outcome[key] for name, what, key in _PARENT_METRICS}
        started = self.run.store.entity(self.run.id).info.start_time / 1000  # the same time however often this is done
        self.run.metrics(figures | {"seeds": outcome["n"]}, 0, started)
        self.run.tags({"tinycnn.verdict": outcome["verdict"]})
        judged = (outcome["verdict"], outcome["reason"])
        self.run.description(describe(self.plan.spec, self.plan.measured, outcome, judged, self.plan.fallback))
        self.run.text("seeds.md", tables.seed_table(outcome["seeds"]))


_PARENT_METRICS = (
    ("last", "mean", "last"),
    ("last", "std", "last_std"),
    ("last", "min", "last_min"),
    ("last", "low", "last_low"),
    ("last", "high", "last_high"),
    ("best", "mean", "best"),
    ("min_last5", "min", "min_last5"),
)


def epoch_metrics(result, kind: str) -> dict:
    """Return what is logged after an epoch; ``kind`` is what it was evaluated on, "test" or "validation"."""
    values = {metric: getattr(result, field) for metric, field in _fields(kind).items()}
    if result.averaged_loss is not None:
        values |= {name: getattr(result, field) for name, field in _both(kind).items()}
    return values


def _both(kind):
    """Return the metrics of raw and averaged weights, by name."""
    fields = ("raw_loss", "raw_accuracy", "averaged_loss", "averaged_accuracy")
    return {f"{kind}_{field}": field for field in fields}


def _fields(kind):
    own = ("train_loss", "train_accuracy", "learning_rate", *CLOCKS)
    return {name: name for name in own} | {f"{kind}_loss": "loss", f"{kind}_accuracy": "accuracy"}


def log_mistakes(run: Run, plan, state):
    """Log which images the last epoch's weights get wrong, as mistakes.csv, and how many images each class has."""
    labels, predicted = plan.data.evaluation.labels.tolist(), state.logits.argmax(1).tolist()
    wrong = [(i, *pair) for i, pair in enumerate(zip(labels, predicted, strict=True)) if pair[0] != pair[1]]
    run.text("mistakes.csv", "\n".join(["index,label,predicted", *(",".join(map(str, row)) for row in wrong)]) + "\n")
    counts = torch.bincount(plan.data.evaluation.labels, minlength=len(plan.data.classes))
    run.tags({"tinycnn.class_counts": " ".join(map(str, counts.tolist()))})  # after the file: where it is, that is


def log_pictures(run: Run, plan, history: list, state):
    """Draw what a training came to, and log it."""
    data, logits = plan.data, state.logits.cpu()
    images, labels = data.evaluation.images, data.evaluation.labels
    curves = pictures.curves(history, plan.spec.target.accuracy, kind=data.kind, evaluated=len(labels))
    run.figure("curves.png", curves)
    run.figure("confusion.png", pictures.confusion(labels, logits.argmax(1), data.classes))
    run.figure("worst_mistakes.png", pictures.worst_mistakes(images, labels, logits, data.classes))
    run.figure("receptive_field.png", pictures.receptive_field(images[0], plan.measured.layers))


def with_normalisation(network: nn.Module, data) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode, that takes pixels in [0, 1] and normalises them itself.

    A batch norm with fixed statistics and no weights does it, so that only torch is needed to load the result.
    """
    normalise = nn.BatchNorm2d(len(data.mean), eps=0.0, affine=False)
    normalise.running_mean = torch.tensor(data.mean)
    normalise.running_var = torch.tensor(data.std) ** 2
    return nn.Sequential(normalise, copy.deepcopy(network).cpu()).eval()
