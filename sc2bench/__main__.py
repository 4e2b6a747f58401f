"""`python -m sc2bench` is the console script."""

from sc2bench.cli import main

main()
