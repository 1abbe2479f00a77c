"""From the manifest to crop shards."""
