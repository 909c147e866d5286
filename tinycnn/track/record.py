"""The record of a run in the store. What the store does not take now waits in the checkpoint, and is delivered later.

Everything is logged so that it can be logged again: a record that was cut off is brought up to date by logging it anew.
"""

import contextlib
import copy
import json
import tempfile
from pathlib import Path

import torch
from torch import nn

from tinycnn.errors import StoreTrouble, UserError
from tinycnn.track import provenance, tables, verdict
from tinycnn.track.description import describe
from tinycnn.track.mlflow_store import Run, store_errors
from tinycnn.train import checkpoint

CLOCKS = ("seconds", "images_per_second")
"""Metrics that are clock readings: all others are the same when a run is made again."""


class Record:
    """The record of one run; ``run.failure`` says what the store has not taken."""

    def __init__(self, run: Run, plan, params: dict, warn):
        self.run, self.plan, self._params, self._warn, self._begun = run, plan, params, warn, False

    def deliver(self, *parts) -> bool:
        """Log what the run can be made again from, unless that is done, then ``parts``; False if that failed."""
        try:
            if not self._begun:
                self.run.open()
                self._log_start() if self.run.new else self._take_up()
                self._begun = True
            for part in parts:
                part()
        except StoreTrouble as error:
            if not self.run.failure:
                self._warn(f"{error}. Training continues; what the store does not take waits in a checkpoint")
            self.run.failure = str(error)
            return False
        self.run.failure = ""
        return True

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
        """Continue a record that another process began, and may not have got far with."""
        if self.run.store.read(self.run.id, "spec.json") is None:
            self._log_start()
        tags = self.run.store.entity(self.run.id).data.tags
        self.run.tags({"tinycnn.failure": "", "tinycnn.resumed": int(tags.get("tinycnn.resumed", 0)) + 1})


class SeedRecord(Record):
    """The record of the training of one seed."""

    def __init__(self, run: Run, plan, seed: int, warn):
        super().__init__(run, plan, plan.spec.brief() | {"seed": seed}, warn)
        self.seed = seed
        self._logged = {}  # by epoch, the training loss that the store has

    def log_epochs(self, history: list) -> bool:
        """Bring the record up to ``history``. Raises UserError where the store has other numbers of the same epoch."""
        return self.deliver(lambda: self._log_epochs(history))

    def complete(self, history: list, state, summary: dict) -> bool:
        """Bring the record up to ``history``, add what comes after the last epoch, and end the run."""
        return self.deliver(
            lambda: self._log_epochs(history),
            lambda: self._log_end(history, state, summary),
            lambda: self.run.end("FINISHED"),
        )

    def give_up(self, history: list):
        """Say how far a training came that does not continue, if the store takes it."""
        if history and self.run.id:
            with contextlib.suppress(StoreTrouble):
                self.run.tags({"tinycnn.last_good_epoch": history[-1].epoch})

    def _log_start(self):
        self.run.dataset(self.plan.data)
        super()._log_start()

    def _take_up(self):
        super()._take_up()
        self._logged = self.run.store.history(self.run.id, "train_loss")

    def _log_epochs(self, history):
        for result in history:
            if result.epoch not in self._logged:
                self.run.metrics(epoch_metrics(result, self.plan.data.kind), result.epoch, result.ended)
                self._logged[result.epoch] = result.train_loss
            elif self._logged[result.epoch] != result.train_loss:
                raise UserError(
                    f"run {self.run.id}: train_loss of epoch {result.epoch} is {self._logged[result.epoch]!r} in the "
                    f"store and {result.train_loss!r} here; the record was left as it is: train anew with `run`"
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
        if plan.draw:
            target = plan.spec.target.accuracy
            for name, figure in plan.draw(history, plan.data, state.logits.cpu(), plan.measured, target):
                run.figure(name, figure)
        with store_errors(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.pt"
            checkpoint.save(path, plan.identity(self.seed, run.id), state, history)
            run.file(path)
        model = with_normalisation(state.result, plan.data)
        run.model(model, plan.data.shape, len(plan.data.classes), provenance.versions()["torch"])


class ParentRecord(Record):
    """The record of several seeds, each of which has one of its own below it."""

    def __init__(self, run: Run, plan, warn):
        super().__init__(run, plan, plan.spec.brief(), warn)

    def complete(self, outcome: dict) -> bool:
        """Add what the seeds came to, and end the run."""
        return self.deliver(lambda: self._log_end(outcome), lambda: self.run.end("FINISHED"))

    def _log_end(self, outcome):
        values = {
            "last_accuracy_mean": outcome["last"],
            "last_accuracy_std": outcome["last_std"],
            "last_accuracy_min": outcome["last_min"],
            "last_accuracy_low": outcome["last_low"],
            "last_accuracy_high": outcome["last_high"],
            "best_accuracy_mean": outcome["best"],
            "min_last5_accuracy_min": outcome["min_last5"],
            "seeds": outcome["n"],
        }
        started = self.run.store.entity(self.run.id).info.start_time / 1000  # the same time however often this is done
        self.run.metrics(values, 0, started)
        self.run.tags({"tinycnn.verdict": outcome["verdict"]})
        judged = (outcome["verdict"], outcome["reason"])
        self.run.description(describe(self.plan.spec, self.plan.measured, outcome, judged, self.plan.fallback))
        self.run.text("seeds.md", tables.seed_table(outcome["seeds"]))


def epoch_metrics(result, kind: str) -> dict:
    """Return what is logged after an epoch; ``kind`` is what it was evaluated on, "test" or "validation"."""
    names = ("train_loss", "train_accuracy", "learning_rate", *CLOCKS)
    values = {name: getattr(result, name) for name in names}
    values |= {f"{kind}_loss": result.loss, f"{kind}_accuracy": result.accuracy}
    if result.averaged_loss is not None:
        both = ("raw_loss", "raw_accuracy", "averaged_loss", "averaged_accuracy")
        values |= {f"{kind}_{name}": getattr(result, name) for name in both}
    return values


def log_mistakes(run: Run, plan, state):
    """Log which images the last epoch's weights get wrong, as mistakes.csv, and how many images each class has."""
    labels, predicted = plan.data.evaluation.labels.tolist(), state.logits.argmax(1).tolist()
    wrong = [(i, *pair) for i, pair in enumerate(zip(labels, predicted, strict=True)) if pair[0] != pair[1]]
    run.text("mistakes.csv", "\n".join(["index,label,predicted", *(",".join(map(str, row)) for row in wrong)]) + "\n")
    counts = torch.bincount(plan.data.evaluation.labels, minlength=len(plan.data.classes))
    run.tags({"tinycnn.class_counts": " ".join(map(str, counts.tolist()))})  # after the file: where it is, that is


def with_normalisation(network: nn.Module, data) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode, that takes pixels in [0, 1] and normalises them itself.

    A batch norm with fixed statistics and no weights does it, so that only torch is needed to load the result.
    """
    normalise = nn.BatchNorm2d(len(data.mean), eps=0.0, affine=False)
    normalise.running_mean = torch.tensor(data.mean)
    normalise.running_var = torch.tensor(data.std) ** 2
    return nn.Sequential(normalise, copy.deepcopy(network).cpu()).eval()
