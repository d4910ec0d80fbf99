"""A whole small world on one machine: two gateways, a host behind each, and proof on real packets.

The demonstration and the interoperability tests stand on the same topology. Everything happens in network
namespaces that are made here and removed here.
"""
