"""Holds the model against brute force: cases, the search for the least n, the report."""
