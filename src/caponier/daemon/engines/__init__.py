"""Engines: what carries the packets of Child SAs."""
