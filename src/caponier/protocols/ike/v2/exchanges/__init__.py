"""The exchanges of IKEv2, one file each: our side of the request and our side of the answer."""
