"""Exports, without a worker."""
