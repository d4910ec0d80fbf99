"""The control API: how programs and people talk to a running daemon."""
