"""Resource quantities: "100m", "1.5Gi", "1e3"; read, written canonically, compared, added.

A value is `unscaled * 10**exponent`; what is smaller than a nano is rounded away from zero. A text that is canonical
already (or nearly: "+1", "00012") is kept as it was given, as a real server does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_NUMBER = "unable to parse numeric part of quantity"
WRONG_SUFFIX = "unable to parse quantity's suffix"
TOO_LARGE = "quantity is too large to calculate with"

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_NAMES = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_NAMES = {exponent: suffix for suffix, exponent in _BINARY.items()}
_NANO = -9
_MOST_DIGITS = 18  # what surely fits a 64-bit integer
_MOST_BINARY_DIGITS = 15
_LARGEST_BINARY = (1 << 63) - 1
_MOST_EXPONENT = 4096  # of numbers that are calculated with; writing and reading have no limit
_SHAPE = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)\Z", re.ASCII)


class QuantityError(ValueError):
    """Not a quantity; the message is a real server's."""


@dataclass(frozen=True)
class Quantity:
    """A number with the notation it is written in."""

    unscaled: int
    exponent: int
    format: Format
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.text or self.canonical()

    @property
    def sign(self) -> int:
        return (self.unscaled > 0) - (self.unscaled < 0)

    def canonical(self) -> str:
        """The number with the largest suffix that loses nothing."""
        if not self.unscaled:
            return "0"
        if self.format == "BinarySI":
            whole = _whole(self.unscaled, self.exponent)
            if whole is not None and abs(whole) >= 1024:
                count, times = _factors(whole, 1024)
                return f"{count}{_BINARY_NAMES.get(times * 10, '')}"
        count, times = _factors(self.unscaled, 10)
        exponent = self.exponent + times
        count, exponent = count * 10 ** (exponent % 3), exponent - exponent % 3
        if self.format == "DecimalExponent":
            return f"{count}e{exponent}" if exponent else str(count)
        return f"{count}{_DECIMAL_NAMES.get(exponent, '')}"

    def scaled(self, exponent: int) -> int:
        """How many units of `10**exponent`, rounded away from zero, as a 64-bit integer that overflows."""
        shift = self.exponent - exponent
        if shift >= 0:
            value = self.unscaled * pow(10, shift, 1 << 64)
        elif -shift > len(str(self.unscaled)):
            value = self.sign
        else:
            value = self.sign * -(-abs(self.unscaled) // 10**-shift)
        return (value + (1 << 63)) % (1 << 64) - (1 << 63)

    def compare(self, other: Quantity) -> int:
        """-1, 0 or 1."""
        if self.sign != other.sign:
            return 1 if self.sign > other.sign else -1
        if not self.sign:
            return 0
        mine, others = _magnitude(self), _magnitude(other)
        if mine != others:
            return self.sign if mine > others else -self.sign
        one, two, _ = _aligned(self, other)
        return (one > two) - (one < two)

    def __add__(self, other: Quantity) -> Quantity:
        one, two, exponent = _aligned(self, other)
        return Quantity(one + two, exponent, self.format if self.unscaled else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        one, two, exponent = _aligned(self, other)
        return Quantity(one - two, exponent, self.format if self.unscaled else other.format)


@lru_cache(maxsize=1024)
def parse(text: str) -> Quantity:
    """Read a quantity; `QuantityError` says what is wrong. A number that is left out is 0, as a real server has it."""
    if text == "0":
        return Quantity(0, 0, "DecimalSI", text)
    shape = _SHAPE.match(text)
    if not shape or not text:
        raise QuantityError(WRONG_FORMAT)
    sign, whole, fraction, suffix = shape[1], shape[2], shape[3] or "", shape[4]
    exponent, binary, notation = _suffix(suffix)
    return _quantity(text, -1 if sign == "-" else 1, whole or "0", fraction, exponent, notation, binary=binary)


def _quantity(
    text: str, sign: int, whole: str, fraction: str, exponent: int, notation: Format, *, binary: bool
) -> Quantity:
    digits = whole + fraction
    value = int(digits)
    scale = -len(fraction) + (0 if binary else exponent)
    if binary:
        room = _MOST_BINARY_DIGITS - len(whole) - exponent * 3 // 10 - 1 if not fraction else -1
    else:
        room = _MOST_DIGITS - len(digits)
    amount = value << exponent if binary else value
    if room >= 0 and scale >= _NANO:
        if binary:
            kept = exponent % 10 == 0 and value & 7 != 0
        else:
            kept = scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"
        return Quantity(sign * amount, scale, notation, text if kept else "")
    if scale < _NANO:
        places = _NANO - scale
        amount = bool(amount) + 0 if places > len(str(amount)) else -(-amount // 10**places)
        scale = _NANO
    if binary and _magnitude_of(amount, scale) > 0:
        largest = _LARGEST_BINARY * 10**-scale if scale <= 0 else _LARGEST_BINARY
        amount = min(amount, largest)
    if binary and 0 < amount < 10**-scale:
        notation = "DecimalSI"  # 0.5 bytes as 500m: nothing is rounded
    return Quantity(sign * amount, scale, notation)


def _suffix(suffix: str) -> tuple[int, bool, Format]:
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], False, "DecimalSI"
    if suffix in _BINARY:
        return _BINARY[suffix], True, "BinarySI"
    if len(suffix) > 1 and suffix[0] in "eE" and re.fullmatch(r"[+-]?[0-9]+", suffix[1:], re.ASCII):
        exponent = int(suffix[1:])
        if abs(exponent) < 1 << 31:
            return exponent, False, "DecimalExponent"
    raise QuantityError(WRONG_SUFFIX)


def _factors(value: int, factor: int) -> tuple[int, int]:
    times = 0
    while value and value % factor == 0:
        value, times = value // factor, times + 1
    return value, times


def _whole(unscaled: int, exponent: int) -> int | None:
    if exponent >= 0:
        return unscaled * int(10**exponent)
    whole, rest = divmod(abs(unscaled), 10**-exponent)
    if rest:
        return None
    return int(whole if unscaled > 0 else -whole)


def _magnitude(quantity: Quantity) -> int:
    return _magnitude_of(abs(quantity.unscaled), quantity.exponent)


def _magnitude_of(value: int, exponent: int) -> int:
    return len(str(value)) + exponent


def _aligned(one: Quantity, two: Quantity) -> tuple[int, int, int]:
    exponent = min(one.exponent, two.exponent)
    if max(one.exponent, two.exponent) - exponent > _MOST_EXPONENT:
        raise QuantityError(TOO_LARGE)
    return (
        one.unscaled * 10 ** (one.exponent - exponent),
        two.unscaled * 10 ** (two.exponent - exponent),
        exponent,
    )


def percent_of(value: int | str, total: int, *, round_up: bool) -> int:
    """An int-or-percent, of a total: 3 is 3, "25%" a quarter of it."""
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise QuantityError("invalid value for IntOrString: invalid type: string is not a percentage")
    number = value.removesuffix("%")
    if not re.fullmatch(r"[+-]?[0-9]+", number, re.ASCII) or len(number) > _MOST_DIGITS:
        raise QuantityError(
            f'invalid value for IntOrString: invalid value "{value}": strconv.Atoi: parsing "{number}": invalid syntax'
        )
    part = int(number) * total
    return -(-part // 100) if round_up else part // 100
