"""The command line: one module per group of commands, each light to import.

What is heavy (pydantic, rich, numpy, aiohttp) is imported by the command that needs it, so that --help is
there at once. Exit status: 0 ok, 1 failed, 2 wrong usage or configuration, 3 promise missed, 4 unreachable.
"""
