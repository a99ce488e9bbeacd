"""The demonstration behind `scripts/demo`: proxies, fake backends, a load, and what happens, live."""
