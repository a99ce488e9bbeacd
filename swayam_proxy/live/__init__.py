"""The real network: sockets, signals, logs and the operators' address around the rules of `core`."""
