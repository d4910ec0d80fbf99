"""``make bench-ike``: what IKE costs: handshakes, memory, timers, lookups."""
