"""A live run against the same run simulated: see `scripts/compare-live --help`."""
