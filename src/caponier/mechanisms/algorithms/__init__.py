"""The algorithms themselves: ciphers, integrity, pseudorandom functions, key exchange groups, and which we have."""
