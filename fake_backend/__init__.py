"""An emulated model server: execution times by sleeping or spinning, slots, set-up, faults on request.

Shares no code with the proxy, so that each checks the other.
"""
