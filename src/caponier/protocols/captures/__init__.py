"""Captured traffic: from the octets of a capture file to the ESP and AH packets in it, and to what was inside."""
