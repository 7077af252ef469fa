"""A rehearsal of the service on one machine: sample alerts, a broker and a stand-in for GraceDB.

Nothing here talks to anything but loopback. ``make demo-alerts`` shows the service at work; the
tests and benchmarks use the same parts.
"""
