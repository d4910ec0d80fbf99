"""IKE without I/O: an endpoint, driven by datagrams and instants."""
