"""Where photographs come from. A source yields what it knows of each; ingest opens and judges them."""
