"""Authentication: who a peer says it is, and the proof (RFC 7296 section 2.15, RFC 7427, RFC 5280)."""
