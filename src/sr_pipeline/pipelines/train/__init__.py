"""From crop shards to generators."""
