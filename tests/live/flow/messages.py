"""Messages that carry their number, for both sides to see that none is lost or out of place."""


def numbered(number: int, size: int) -> bytes:
    """Return message `number`: as much of the number as `size` bytes have room for, then zeros."""
    width = min(size, 8)
    return (number % (1 << 8 * width)).to_bytes(width, "big") + bytes(size - width)


def is_numbered(data: bytes, number: int) -> bool:
    """Tell whether `data` is message `number`, or the start of it."""
    width = min(len(data), 8)
    return int.from_bytes(data[:width], "big") == number % (1 << 8 * width)
