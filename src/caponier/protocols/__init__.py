"""The protocols of IPsec: IKE, ESP and AH."""
