"""Where photographs come from. A source lists what it knows about each; ingest opens and checks them."""
