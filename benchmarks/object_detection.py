"""Object detection, one experiment: python benchmarks/object_detection.py task=... method=... rate=..."""

from sc2bench.cli import benchmark

if __name__ == "__main__":
    benchmark("object_detection", default="scenes_detection")
