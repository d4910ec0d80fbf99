"""Caponier beside other tunnels, in one run on one machine: ``make bench``."""
