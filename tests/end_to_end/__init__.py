"""Black-box tests: a real proxy process over real sockets; backends and clients are scripted byte by byte."""
