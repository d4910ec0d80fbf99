"""The Domain of Interpretation: the numbers and names that the protocols agree on."""
