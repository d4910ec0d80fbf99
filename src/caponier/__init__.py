"""Caponier: a complete IPsec suite, three levels in three folders.

* ``protocols``: IKE, ESP and AH.
* ``mechanisms``: negotiation, keys, authentication and algorithms.
* ``doi``: the Domain of Interpretation, numbers and names.

``daemon`` is the only part that does I/O; ``api`` and ``cli`` stand above it.
"""

__version__ = "0.1.0"
