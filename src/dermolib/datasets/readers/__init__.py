"""Readers: one file per collection, each to the one table."""
