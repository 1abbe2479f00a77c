"""The generator as a service."""
