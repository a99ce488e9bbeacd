"""The rules of Swayam: facts in, orders out; no I/O, no clock, no dice.

Time is an argument (monotonic seconds), chance is handed in, and everything that moves lives in
`live/` (the network) or `sim/` (virtual time). Both run the same `core.frontend.Frontend`.
"""
