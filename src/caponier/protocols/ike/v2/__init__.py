"""IKEv2 (RFC 7296): IKE SAs and their exchanges."""
