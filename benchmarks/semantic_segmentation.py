"""Semantic segmentation, one experiment: python benchmarks/semantic_segmentation.py task=... method=... rate=..."""

from sc2bench.cli import benchmark

if __name__ == "__main__":
    benchmark("semantic_segmentation", default="scenes_segmentation")
