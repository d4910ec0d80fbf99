"""What the protocols use: negotiation, keys, authentication, algorithms."""
