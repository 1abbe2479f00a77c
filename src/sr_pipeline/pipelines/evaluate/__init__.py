"""From held-out photographs and generators to metrics and pictures."""
