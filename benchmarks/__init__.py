"""Speed measurements: ``make bench``."""
