"""What a long run measured, and whether something grew that must not. Pure: numbers in, texts out.

The samples begin behind the warm-up. Memory is judged by the least of each minute: what leaked is there at
every moment, what is in use for a moment, or is given back to the kernel a little later, is not. A bounded
structure that grows in these minutes is growth as any other: the warm-up is there to fill it.
"""
import dataclasses

MINUTES_MIN = 4              # of fewer a slope says nothing
LATE_MINUTES_MIN = 8         # of the second half, for a slope of its own
SAMPLES_MIN = 6              # of a minute; one that had barely begun has no least to speak of
DESCRIPTORS_SLACK = 32       # connections come and go
LAG_EVENTS_MAX = 100_000     # of a built-in context: where new orders are refused
MARKER_SECONDS_MAX = 30      # until a stream shows what was published


@dataclasses.dataclass
class Sample:
    minutes: float           # since the load began
    anonymous_mib: float     # the server's own memory, without the pages of files
    descriptors: int
    lag_events: int          # of the slowest subscription
    orders: int              # that the server holds
    store_bytes: int


def slope(points):
    """Of the straight line that fits [(x, y)] best; 0 for fewer than two different x."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n if n else 0
    mean_y = sum(y for _, y in points) / n if n else 0
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def floors(samples):
    """[(which, the least of its own memory in MiB)] of every minute."""
    taken = {}
    for s in samples:
        taken.setdefault(int(s.minutes), []).append(s.anonymous_mib)
    return [(minute, min(mib)) for minute, mib in sorted(taken.items()) if len(mib) >= SAMPLES_MIN]


def memory_slope(samples):
    """MiB a minute; of the second half, if that is steeper and long enough: a leak may begin late."""
    points = floors(samples)
    late = points[len(points) // 2:]
    return max(slope(p) for p in (points, late) if p is points or len(p) >= LATE_MINUTES_MIN)


def bytes_per_order(samples):
    """What the store grew by for each order; None if there were none."""
    orders = samples[-1].orders - samples[0].orders if samples else 0
    return (samples[-1].store_bytes - samples[0].store_bytes) / orders if orders else None


def faults(samples, slope_max, bytes_per_order_max):
    """What is wrong, each a line; [] if nothing grew."""
    minutes = len(floors(samples))
    if minutes < MINUTES_MIN:
        return [f"{minutes} minutes behind the warm-up are too few to judge by"]
    found = []
    grown = memory_slope(samples)
    if grown > slope_max:
        found.append(f"its own memory grows by {grown:.2f} MiB a minute, more than {slope_max:g}")
    before, after = samples[0].descriptors, samples[-1].descriptors
    if after > before + DESCRIPTORS_SLACK:
        found.append(f"open descriptors grew from {before} to {after}")
    lag = max(s.lag_events for s in samples)
    if lag > LAG_EVENTS_MAX:
        found.append(f"a subscription was {lag} events behind")
    each = bytes_per_order(samples)
    if each is None:
        found.append("no order was placed behind the warm-up")
    elif each > bytes_per_order_max:
        found.append(f"the store grew by {each:.0f} bytes an order, more than {bytes_per_order_max}")
    return found
