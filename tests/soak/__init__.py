"""Load and faults: real servers and clients, while workers die, stores go away, clocks are set.

Nothing may be done twice, nothing may be accepted unsealed, no answer may be cut and look whole,
and every failure has to be a clear one. ``make soak`` runs for minutes, ``test_soak.py`` for
seconds.
"""
