"""Runs as another program might make them, by MLflow's client alone."""

from mlflow.entities import Metric, RunTag

TAGS = {"tinycnn.role": "seed", "tinycnn.data": "mnist", "tinycnn.evaluated_on": "test", "tinycnn.fallback": "false",
        "tinycnn.spec_hash": "a" * 12, "tinycnn.code_hash": "b" * 12}  # fmt: skip


def foreign_run(client, experiment_id, accuracies, status="FINISHED", name="theirs", seed=0, **tags):
    """Make a run of one seed with these test accuracies; return its id."""
    own = {"tinycnn.experiment": name, "tinycnn.seed": str(seed)} | tags
    run_id = client.create_run(experiment_id).info.run_id
    metrics = [Metric("test_accuracy", value, 1000 + step, step) for step, value in enumerate(accuracies, start=1)]
    client.log_batch(run_id, metrics, tags=[RunTag(*pair) for pair in (TAGS | own).items()])
    client.set_terminated(run_id, status)
    return run_id
