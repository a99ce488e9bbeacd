"""The one TOML file: what may stand in it, how it is read, and what is said when it is wrong.

Knows nothing of the live process; `wiring` turns a `schema.Config` into what the core and the process
are told. Nothing here runs after start-up.
"""
