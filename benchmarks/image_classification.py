"""Image classification, one experiment: python benchmarks/image_classification.py task=... method=... rate=..."""

from sc2bench.cli import benchmark

if __name__ == "__main__":
    benchmark("image_classification", default="fashion_mnist")
