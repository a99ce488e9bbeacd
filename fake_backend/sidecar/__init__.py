"""The sidecar protocol, version 1, of docs/sidecar-protocol.md, before an emulated model server."""
