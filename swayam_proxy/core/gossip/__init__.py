"""Proxies that know how many they are and what each expects: membership and payloads, sans-I/O.

Knows neither sockets nor clocks: datagrams and monotonic seconds are handed in, datagrams to send come
out. `membership.Membership` is the door; everything else here is behind it.
"""
