"""What the long run takes for growth."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import growth  # noqa: E402
from growth import Sample  # noqa: E402


def samples(memory=lambda m: 50.0, descriptors=lambda m: 20, lag=lambda m: 10, n=30,
            store=lambda orders: orders * 4000):
    """One every 12 seconds, a thousand orders each."""
    return [Sample(i / 5, memory(i / 5), descriptors(i / 5), lag(i / 5), 1000 * i, store(1000 * i))
            for i in range(n)]


def judge(these):
    return growth.faults(these, slope_max=1.0, bytes_per_order_max=8000)


def test_a_slope_is_that_of_the_straight_line():
    assert growth.slope([(0, 1), (1, 3), (2, 5)]) == 2
    assert growth.slope([(0, 1), (1, 0), (2, 1)]) == 0
    assert growth.slope([(3, 7), (3, 9)]) == 0
    assert growth.slope([]) == 0


def test_what_stays_as_it_is_is_no_fault():
    assert judge(samples()) == []


def test_what_grows_while_it_warms_up_is_no_fault():
    assert judge(samples(memory=lambda m: min(10 + 40 * m, 60))) == []


def test_memory_that_grows_is_a_fault_from_the_bound_on():
    assert judge(samples(memory=lambda m: 50 + 0.99 * m)) == []
    assert "memory grows by 1.01 MiB" in judge(samples(memory=lambda m: 50 + 1.01 * m))[0]


def test_memory_that_goes_up_and_down_is_no_fault():
    assert judge(samples(memory=lambda m: 50 + (round(m * 5) % 2) * 3)) == []


def test_descriptors_that_are_not_given_back_are_a_fault():
    assert judge(samples(descriptors=lambda m: 20 + (round(m * 5) % 3))) == []
    assert judge(samples(descriptors=lambda m: 20 + 20 * int(m)))[0].startswith("open descriptors")


def test_a_subscription_that_is_left_behind_is_a_fault():
    assert judge(samples(lag=lambda m: 100_000)) == []
    assert "100001 events behind" in judge(samples(lag=lambda m: 100_001))[0]


def test_a_store_that_takes_too_much_for_an_order_is_a_fault():
    assert growth.bytes_per_order(samples()) == 4000
    assert "8001 bytes an order" in judge(samples(store=lambda orders: orders * 8001))[0]


def test_a_run_in_which_nothing_happened_is_a_fault():
    still = [Sample(s.minutes, 50, 20, 0, 7, 1) for s in samples()]
    assert judge(still) == ["no order was placed behind the warm-up"]


def test_a_run_that_is_too_short_is_a_fault():
    assert "too few" in judge(samples(n=4))[0]
    assert judge([]) != []
