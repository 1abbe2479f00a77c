"""From a source of photographs to the manifest of usable images."""
