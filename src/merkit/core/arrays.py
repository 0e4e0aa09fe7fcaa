"""The type of NumPy arrays whose shape and element type a docstring gives. Nothing here imports torch."""

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
