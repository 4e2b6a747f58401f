"""A quantity as the area of markers."""

from dataclasses import dataclass

import numpy as np

from sc2bench.report.tables.budgets import round_numbers

# Diameters in points: of what is nothing, of the smallest amount, and at most.
_NOTHING, _SMALLEST, _LARGEST = 2.4, 3.4, 11.0
_EXAMPLES = 3
_LEAST_PART = 0.5


@dataclass(frozen=True)
class AreaScale:
    """Areas that grow with a quantity: in proportion where markers stay readable, else by a power of it below one.

    Attributes:
        low: the smallest positive amount.
        high: the largest.
        largest: the largest diameter of a marker, in points.
    """

    low: float
    high: float
    largest: float = _LARGEST

    @classmethod
    def of(cls, amounts: np.ndarray, largest: float = _LARGEST) -> "AreaScale":
        """The scale for amounts from zero upwards, of which at least one is positive."""
        positive = amounts[amounts > 0]
        return cls(float(positive.min()), float(positive.max()), largest)

    def diameters(self, amounts: np.ndarray) -> np.ndarray:
        """Of markers, in points; nothing is drawn as a dot."""
        spread, most = np.log(self.high / self.low), 2 * np.log(self.largest / _SMALLEST)
        power = most / spread if spread > most else 1.0
        # Clipped, for a power of nothing is no number; legends have amounts a little below the smallest.
        parts = np.maximum(amounts, self.low * _LEAST_PART) / self.low
        return np.where(amounts > 0, _SMALLEST * parts ** (power / 2), _NOTHING)

    def examples(self) -> list[float]:
        """Round amounts for a legend, at most three: within the range, or near to it if there is nothing round.

        >>> AreaScale(27_878_400, 33_951_744).examples()
        [28000000.0, 30000000.0, 32000000.0]
        >>> AreaScale(1_234_567, 1_234_567).examples()
        [1200000.0]
        """
        inside = [amount for amount in round_numbers(self.low, self.high, _EXAMPLES) if amount <= self.high]
        if len(inside) > 1:
            return inside
        for digits in (1, 2):
            unit = 10.0 ** (np.floor(np.log10(self.high)) - digits + 1)
            first, last = np.ceil(self.low / unit), np.floor(self.high / unit)
            step = next(step for step in (1, 2, 5, 10, 20, 50) if (last - first) / step < _EXAMPLES)
            steps = np.arange(np.ceil(first / step) * step, last + 1, step)
            if len(steps) > 1:
                return [float(f"{value * unit:.2g}") for value in steps]
        return [float(f"{self.high:.2g}")]
