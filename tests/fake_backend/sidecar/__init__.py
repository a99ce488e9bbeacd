"""Tests of the sidecar protocol before the emulated model server."""
