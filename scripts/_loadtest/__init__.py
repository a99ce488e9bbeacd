"""The load generator behind `scripts/loadtest`: open loop, honest clocks, one process."""
