"""The simulated world: the same rules as live, on virtual time; never imports `live`."""
