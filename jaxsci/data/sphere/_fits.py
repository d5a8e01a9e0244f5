"""FITS files before a library opens them: everything their headers declare is there."""

import math
from pathlib import Path

from jaxsci.data.reading import unpacked
from jaxsci.errors import InputError

_FITS_BLOCK = 2880


def fits_content(path: Path) -> bytes:
    """The bytes of a FITS file, unpacked, with the tables that its headers declare all there."""
    content = unpacked(path)
    start = 0
    while start < len(content):
        cards: dict[str, bytes] = {}
        end = False
        while not end:
            block = content[start : start + _FITS_BLOCK]
            if len(block) < _FITS_BLOCK:
                if cards or start == 0:
                    raise InputError(
                        f"{path}: expected FITS headers that end, got one cut short; download the file again"
                    )
                return content  # what follows the last table is no header
            start += _FITS_BLOCK
            for i in range(0, _FITS_BLOCK, 80):
                card = block[i : i + 80]
                end = end or card.startswith(b"END     ")
                cards[card[:8].decode("latin-1").strip()] = card[10:].split(b"/")[0].strip()
        size = abs(int(cards.get("BITPIX", b"8"))) // 8
        axes = [int(cards.get(f"NAXIS{i + 1}", b"0")) for i in range(int(cards["NAXIS"]))]
        size *= int(cards.get("GCOUNT", b"1")) * (int(cards.get("PCOUNT", b"0")) + (math.prod(axes) if axes else 0))
        if not 0 <= size <= len(content) - start:
            raise InputError(
                f"{path}: expected {size:,} bytes of data as its header says, got {len(content) - start:,}; download it again"
            )
        start += -(-size // _FITS_BLOCK) * _FITS_BLOCK
    return content
