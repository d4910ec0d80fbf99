"""The messages of IKEv2: header, payloads, and which payload belongs where."""
