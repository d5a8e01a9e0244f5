"""A measured value with its uncertainty, and how it is written."""

import math
from typing import NamedTuple

__all__ = ["Estimate", "Rounded", "rounded"]


class Estimate(NamedTuple):
    """A value and the ends of its interval; an end is None where it is unknown, the value where it is not finite."""

    value: float | None
    lower: float | None = None
    upper: float | None = None


class Rounded(NamedTuple):
    """The parts of a written estimate: the value, and what lies above and below it; without an interval both are empty."""

    value: str
    above: str
    below: str

    def __str__(self) -> str:
        if not self.above:
            return self.value
        return (
            f"{self.value} ± {self.above}" if self.above == self.below else f"{self.value} +{self.above} −{self.below}"
        )


def rounded(estimate: Estimate) -> Rounded:
    """Round to two significant digits of the larger uncertainty, but never before the decimal point.

    >>> str(rounded(Estimate(0.97138, 0.9695, 0.9733)))
    '0.9714 ± 0.0019'
    >>> str(rounded(Estimate(1298, 1141, 1455)))
    '1,298 ± 157'

    Without an interval four significant digits are kept. A value that is not finite, such as the rejection where no background
    passes, is written "> lower" where the lower end is known and "–" otherwise.
    """
    value, lower, upper = (None if x is None or not math.isfinite(x) else float(x) for x in estimate)
    if value is None:
        return Rounded("–" if lower is None else f"> {_fixed(lower, _decimals(lower, 2))}", "", "")
    if lower is None or upper is None:
        return Rounded(_fixed(value, _decimals(value, 4)), "", "")
    decimals = _decimals(max(upper - value, value - lower), 2)
    return Rounded(_fixed(value, decimals), _fixed(upper - value, decimals), _fixed(value - lower, decimals))


def _decimals(number: float, digits: int) -> int:
    """Decimal places at which this number has so many significant digits, at least none."""
    if number == 0:
        return digits - 1
    # From the digits after rounding: 0.0996 has two at 0.10, which is two decimals and not three.
    exponent = int(f"{abs(number):.{digits - 1}e}".split("e")[1])
    return max(0, digits - 1 - exponent)


def _fixed(number: float, decimals: int) -> str:
    """Fixed-point notation with thousands set apart and a true minus sign; very small numbers in powers of ten."""
    if decimals > 8:
        return f"{number:.1e}".replace("-", "−")
    return f"{number:z,.{decimals}f}".replace("-", "−")
