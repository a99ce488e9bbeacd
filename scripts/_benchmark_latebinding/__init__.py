"""Late binding over real sockets, measured against the same rules played out on virtual time."""
