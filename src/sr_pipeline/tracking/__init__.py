"""MLflow: its store, runs, what is reported to them, and the model registry."""
