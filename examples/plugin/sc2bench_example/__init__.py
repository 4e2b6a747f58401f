"""One of each thing that can be added to sc2bench; each file stands alone, and importing it registers what it has."""

from sc2bench_example import (
    bit_planes,
    cosine,
    half_size,
    laplace,
    npz,
    restarts,
    rmsprop,
    thin,
    tiny_net,
)

__all__ = ["bit_planes", "cosine", "half_size", "laplace", "npz", "restarts", "rmsprop", "thin", "tiny_net"]
