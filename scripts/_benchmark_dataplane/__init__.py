"""Measures what a request costs in each of three proxies, on one machine, in the same minutes."""
