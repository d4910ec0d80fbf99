"""Key management: from a shared secret to the keys of IKE SAs and Child SAs."""
