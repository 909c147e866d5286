"""Training joined to MLflow: runs, their records, and taking them up again."""
