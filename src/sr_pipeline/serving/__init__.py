"""Pictures over HTTP: the page with its server, and the model as MLflow serves it."""
