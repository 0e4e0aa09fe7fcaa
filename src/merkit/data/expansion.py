"""How much a packed file may unpack to: the one bound for npz, HDF5 and Parquet, whose headers are not believed."""

_RATIO = 100
"""How many times its own size a file may unpack to, besides what follows. Padded features pack to a tenth or so."""
_ALLOWED = 1 << 26


def most_bytes(size: int) -> int:
    """Return how many bytes the content of a file of ``size`` bytes may take."""
    return _RATIO * size + _ALLOWED
