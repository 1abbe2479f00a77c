"""From generators and metrics to a version in the MLflow model registry."""
