"""A quantity as the area of markers."""

from dataclasses import dataclass

import numpy as np

from sc2bench.report.budgets import round_numbers

# Diameters in points: of what is nothing, of the smallest amount, and at most.
_NOTHING, _SMALLEST, _LARGEST = 2.4, 3.4, 11.0
_EXAMPLES = 3


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
        return np.where(amounts > 0, _SMALLEST * (np.maximum(amounts, self.low) / self.low) ** (power / 2), _NOTHING)

    def examples(self) -> list[float]:
        """Round amounts for a legend, or the extremes if there is nothing round between them."""
        inside = [amount for amount in round_numbers(self.low, self.high, _EXAMPLES) if amount <= self.high]
        return inside or sorted({self.low, self.high})
