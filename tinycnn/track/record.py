"""The record of a run in the store. What the store does not take now waits in the checkpoint, and is delivered later.

Everything is logged so that it can be logged again: a record that was cut off is brought up to date by logging it anew.
MLflow is not imported before ``open``.
"""

import contextlib
from pathlib import Path
from statistics import fmean, stdev

from tinycnn.errors import StoreTrouble, UserError
from tinycnn.track import provenance, tables, verdict
from tinycnn.track.description import describe
from tinycnn.track.portable import portable
from tinycnn.train import checkpoint

ENVIRONMENT = "tinycnn.environment"
"""A tag that a run is made with, and that its files replace: a run that was killed in between can be taken up."""


class Record(contextlib.ExitStack):
    """The record of one run, which ends with this context; ``run.failure`` says what the store has not taken."""

    def __init__(self, plan, store, reporter, params: dict):
        super().__init__()
        self.plan, self.store, self.reporter = plan, store, reporter
        self._sizes = {name: getattr(plan.measured, name) for name in ("parameters", "macs", "receptive_field")}
        self._params = params | self._sizes
        self._tags = plan.tags | {ENVIRONMENT: plan.environment_tag}
        provenance.commit()  # now, as the tags: what is edited during the first epoch is not what ran
        self.run, self._begun = None, False

    def _open(self, which, own, run_id, parent=None, folder=None):
        """Make the run unless it has an id, and claim its folder of checkpoints, or its parent's."""
        tags = self._tags | {f"tinycnn.{tag}": value for tag, value in own.items()}
        if self.plan.settings:
            tags["tinycnn.settings"] = self.plan.settings
        self.run = self.enter_context(self.store().run(self.plan.name(which), tags, parent, run_id))
        if run_id is None:
            self.run.open()
        self.folder = folder or self.enter_context(checkpoint.claimed(parent or self.run.id))

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
                self.reporter.warning(f"{error}. No training is lost: what the store does not take is delivered later")
            self.run.failure = str(error)
            return False
        self.run.failure = ""
        return True

    def _log_start(self):
        plan = self.plan
        self.run.params(self._params)
        self._describe(None, None)
        self.run.text("layers.md", tables.layer_table(plan.measured))
        if difference := provenance.uncommitted():
            self.run.text("uncommitted.diff", difference)
        self.run.json("code.json", plan.code)
        for path in provenance.own_files(plan.code):
            self.run.text(f"source/{path.name}", path.read_text(encoding="utf-8"))
        self.run.text("spec.json", plan.spec.to_json())
        self.run.json("environment.json", plan.environment)
        self.run.drop_tag(ENVIRONMENT)  # last: where the tag is gone, all of these are there

    def _describe(self, summary: dict | None, judged: tuple[str, str] | None):
        self.run.description(describe(self.plan.spec, self.plan.measured, summary, judged, self.plan.fallback))

    def _take_up(self):
        """Continue a record that another process began, and may not have got far with."""
        tags = self.run.store.entity(self.run.id).data.tags
        if ENVIRONMENT in tags:
            self._log_start()
        self.run.params(self._sizes)  # which a run begun before they were parameters has not
        self.run.tags({"tinycnn.failure": "", "tinycnn.resumed": int(tags.get("tinycnn.resumed", 0)) + 1})


class SeedRecord(Record):
    """The record and the checkpoint of the training of one seed, opened when there is something to keep."""

    def __init__(self, plan, seed: int, store, reporter, parent: str | None = None, folder: Path | None = None):
        super().__init__(plan, store, reporter, plan.spec.brief() | {"seed": seed})
        self.seed, self.parent, self.folder, self._warned = seed, parent, folder, False
        self._logged = {}  # by epoch, the training loss that the store has

    def open(self, run_id: str | None = None):
        """Make the run, or continue the one of that id."""
        again = self.plan.again
        own = {"role": "rerun", "rerun_of": again} if again else {"role": "seed"}
        self._open(f"seed {self.seed}", own | {"seed": self.seed}, run_id, self.parent, self.folder)
        self.path = self.folder / f"seed-{self.seed}.pt"
        self.reporter.recorded(self.seed, self.run.id)

    def restored(self, state) -> list:
        """Put the checkpoint, if there is one, into ``state``; return the history, and deliver what the store lacks.

        Raises UserError where this training cannot continue from it.
        """
        if not self.path.exists():
            return []
        now, saved = self.plan.identity(self.seed, self.run.id), checkpoint.load(self.path)
        del now["spec"]  # its notes may have changed: the hash is compared
        if differing := [what.replace("_", " ") for what in now if saved.get(what) != now[what]]:
            raise UserError(
                f"checkpoint {self.path}: is of another {', '.join(differing)}; go back to that, or delete it"
            )
        history = checkpoint.restore(state, saved)
        self.deliver(lambda: self._log_epochs(history))
        return history

    def epoch(self, state, history: list):
        """Keep a checkpoint and bring the record up to ``history``, of which ``state`` is the end."""
        if self.run is None:
            self.open()
        try:
            checkpoint.save(self.path, self.plan.identity(self.seed, self.run.id), state, history)
        except OSError as error:
            if not self._warned:
                self._warned = True
                cannot = "Training continues, but cannot be resumed"
                self.reporter.warning(f"No checkpoint can be kept: {error}. {cannot}")
        self.deliver(lambda: self._log_epochs(history))

    def diverged(self):
        """Discard the checkpoint, from which training would diverge again."""
        if self.run is None:  # in its first epoch, and that is worth a record
            self.open()
        checkpoint.discard(self.path)

    def complete(self, history: list, state, summary: dict):
        """Add what comes after the last epoch, end the run, and discard the checkpoint if the store has all of it."""
        end = [lambda: self._log_end(history, state, summary), lambda: self.run.end("FINISHED")]
        if self.deliver(lambda: self._log_epochs(history), *end):
            checkpoint.discard(self.path)

    def _log_start(self):
        self.run.dataset(self.plan.data)
        super()._log_start()

    def _take_up(self):
        super()._take_up()
        if "train/loss" in self.run.store.entity(self.run.id).data.metrics:
            self._logged = self.run.store.history(self.run.id, "train/loss")
        # else of a run that has no epoch, or only under the former names: all get logged under the present ones

    def _log_epochs(self, history):
        for result in history:
            if result.epoch not in self._logged:
                self.run.metrics(epoch_metrics(result, self.plan.data.kind), result.epoch, result.ended)
                self._logged[result.epoch] = result.train_loss
            elif self._logged[result.epoch] != result.train_loss:
                raise UserError(
                    f"run {self.run.id}: train/loss of epoch {result.epoch} is {self._logged[result.epoch]!r} in the "
                    f"store and {result.train_loss!r} here; the record was left as it is: train anew with `run`"
                )

    def _log_end(self, history, state, summary):
        """Log what a finished training comes to: figures, verdict, tables, pictures, model and checkpoint."""
        plan, run, last = self.plan, self.run, history[-1]
        judged = verdict.judge(plan.spec, [summary], kind=plan.data.kind, fallback=bool(plan.fallback))
        run.metrics({"train/clean_accuracy": last.clean_train_accuracy}, last.epoch, last.ended)
        run.json("summary.json", summary | {"verdict": judged[0], "reason": judged[1]})
        run.tags({"tinycnn.verdict": judged[0], "tinycnn.weights": checkpoint.weights_digest(state.result)})
        self._describe(summary, judged)
        log_mistakes(run, plan, state)
        if plan.draw:
            target = verdict.asked(plan.spec.target, plan.data.name)
            for name, figure in plan.draw(history, plan.data, state.logits.cpu(), plan.measured, target):
                run.figure(name, figure)
        identity = plan.identity(self.seed, run.id)
        run.file("checkpoint.pt", lambda path: checkpoint.save(path, identity, state, history))
        metrics = epoch_metrics(last, plan.data.kind)
        metrics = {name: metrics[name] for name in (f"{plan.data.kind}/accuracy", f"{plan.data.kind}/loss")}
        module, example = portable(state.result, plan.data), plan.data.evaluation.images[:2].cpu().numpy()
        run.model(f"{plan.spec.name}-seed-{self.seed}", module, example, plan.data, metrics, last.epoch, last.ended)


class ParentRecord(Record):
    """The record of several seeds, each of which has one of its own below it; ``done``: those taken from other runs."""

    def __init__(self, plan, seeds: range, done, store, reporter):
        super().__init__(plan, store, reporter, plan.spec.brief())
        self.seeds, self.done = seeds, done

    def open(self, run_id: str | None = None):
        """Make the run, or continue the one of that id."""
        seeds, done = self.seeds, " ".join(map(str, self.done))
        own = {"role": "seeds", "first_seed": seeds[0], "seeds": len(seeds), "seeds_taken": done}
        self._open(f"seeds {seeds[0]} to {seeds[-1]}", own, run_id)
        self.deliver()
        self.reporter.parent(self.plan, seeds, self.run.id)

    def complete(self, outcome: dict) -> bool:
        """Add what the seeds came to, and end the run."""
        return self.deliver(lambda: self._log_end(outcome), lambda: self.run.end("FINISHED"))

    def _log_end(self, outcome):
        run, metric, by_epoch = self.run, f"{outcome['evaluated_on']}/accuracy", {}
        for _, _, epoch, value, _ in run.store.histories([each["run_id"] for each in outcome["seeds"]], metric):
            by_epoch.setdefault(epoch, []).append(value)
        curves = [
            (epoch, {metric: fmean(values), f"{metric}_std": stdev(values), f"{metric}_min": min(values)})
            for epoch, values in sorted(by_epoch.items())
            if len(values) > 1
        ]
        run.curves(curves, run.store.entity(run.id).info.start_time / 1000)  # the same time however often this is done
        run.json("summary.json", outcome)
        run.tags({"tinycnn.verdict": outcome["verdict"]})
        self._describe(outcome, (outcome["verdict"], outcome["reason"]))
        run.text("seeds.md", tables.seed_table(outcome["seeds"]))


def compared(kind: str) -> list[str]:
    """Return the metrics that are the same when a run is made again: all but clock readings."""
    figures = ("loss", "accuracy", "raw_loss", "raw_accuracy", "averaged_loss", "averaged_accuracy")
    trained = ("loss", "accuracy", "clean_accuracy", "learning_rate")
    return [*(f"{kind}/{name}" for name in figures), *(f"train/{name}" for name in trained)]


def epoch_metrics(result, kind: str) -> dict:
    """Return what is logged after an epoch; ``kind`` is what it was evaluated on, "test" or "validation"."""
    values = {
        f"{kind}/accuracy": result.accuracy,
        f"{kind}/loss": result.loss,
        "train/accuracy": result.train_accuracy,
        "train/loss": result.train_loss,
        "train/learning_rate": result.learning_rate,
        "time/seconds": result.seconds,
        "time/images_per_second": result.images_per_second,
    }
    if result.averaged_loss is not None:
        both = ("raw_loss", "raw_accuracy", "averaged_loss", "averaged_accuracy")
        values |= {f"{kind}/{name}": getattr(result, name) for name in both}
    return values


def log_mistakes(run, plan, state):
    """Log which images the last epoch's weights get wrong, as mistakes.csv."""
    labels, predicted = plan.data.evaluation.labels.tolist(), state.logits.argmax(1).tolist()
    wrong = [(i, *pair) for i, pair in enumerate(zip(labels, predicted, strict=True)) if pair[0] != pair[1]]
    run.text("mistakes.csv", "\n".join(["index,label,predicted", *(",".join(map(str, row)) for row in wrong)]) + "\n")
