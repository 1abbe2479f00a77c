"""Measuring generators: the protocol, statistics, pictures and the report.

Importing this package does not import TensorFlow.
"""
