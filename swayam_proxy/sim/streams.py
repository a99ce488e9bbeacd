"""Where the dice of a simulation come from: one root seed, one child stream per actor or purpose.

A child's seed is a stable hash of the root seed and the child's name, so that a new actor never shifts the
numbers that the others draw, and neither the process nor PYTHONHASHSEED matters. Knows nothing of what is
drawn.
"""

from hashlib import blake2b
from random import Random

import numpy as np


def child_seed(root_seed: int, *names: str | int) -> int:
    """Return the 64-bit seed of the child called `names` (for example "frontend", 3)."""
    label = "/".join(str(name) for name in (root_seed, *names))
    return int.from_bytes(blake2b(label.encode(), digest_size=8).digest(), "big")


def scalar_stream(root_seed: int, *names: str | int) -> Random:
    """Return a stream for one number at a time; it is also a `core.vocabulary.Rng`."""
    return Random(child_seed(root_seed, *names))


def array_stream(root_seed: int, *names: str | int) -> np.random.Generator:
    """Return a stream for whole arrays at a time."""
    return np.random.Generator(np.random.PCG64(child_seed(root_seed, *names)))
