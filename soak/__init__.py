"""Two planes under mixed traffic for a long time, and the counters of both at its end: ``make soak``."""
