"""What a long run measured, and whether something grew that must not. Pure: numbers in, texts out."""
import dataclasses

WARM_UP_SHARE, WARM_UP_MINUTES_MAX = 1 / 3, 5
SAMPLES_MIN = 4              # behind the warm-up; of fewer a slope says nothing
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


def behind_warm_up(samples):
    if not samples:
        return []
    end = min(samples[-1].minutes * WARM_UP_SHARE, WARM_UP_MINUTES_MAX)
    return [s for s in samples if s.minutes >= end]


def memory_slope(samples):
    """MiB a minute."""
    return slope([(s.minutes, s.anonymous_mib) for s in behind_warm_up(samples)])


def bytes_per_order(samples):
    """What the store grew by for each order, behind the warm-up; None if there were none."""
    rest = behind_warm_up(samples)
    orders = rest[-1].orders - rest[0].orders if rest else 0
    return (rest[-1].store_bytes - rest[0].store_bytes) / orders if orders else None


def faults(samples, slope_max, bytes_per_order_max):
    """What is wrong, each a line; [] if nothing grew."""
    rest = behind_warm_up(samples)
    if len(rest) < SAMPLES_MIN:
        return [f"{len(rest)} samples behind the warm-up are too few to judge by"]
    found = []
    grown = memory_slope(samples)
    if grown > slope_max:
        found.append(f"its own memory grows by {grown:.2f} MiB a minute, more than {slope_max:g}")
    before, after = rest[0].descriptors, rest[-1].descriptors
    if after > before + DESCRIPTORS_SLACK:
        found.append(f"open descriptors grew from {before} to {after}")
    lag = max(s.lag_events for s in rest)
    if lag > LAG_EVENTS_MAX:
        found.append(f"a subscription was {lag} events behind")
    each = bytes_per_order(samples)
    if each is None:
        found.append("no order was placed behind the warm-up")
    elif each > bytes_per_order_max:
        found.append(f"the store grew by {each:.0f} bytes an order, more than {bytes_per_order_max}")
    return found
