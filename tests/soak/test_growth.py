"""What the long run takes for growth."""
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import growth  # noqa: E402
from growth import Sample  # noqa: E402


def samples(memory=lambda m: 50.0, descriptors=lambda m: 20, lag=lambda m: 10, minutes=20,
            store=lambda orders: orders * 4000):
    """One every 5 seconds, a thousand orders each."""
    return [Sample(i / 12, memory(i / 12), descriptors(i / 12), lag(i / 12), 1000 * i, store(1000 * i))
            for i in range(12 * minutes)]


def judge(these):
    return growth.faults(these, slope_max=0.5, bytes_per_order_max=8000)


def busy(seed):
    """What is in use for a moment: mostly some MiB, now and then many."""
    chance = random.Random(seed)
    return lambda: chance.uniform(0, 8) + (25 if chance.random() < 0.05 else 0)


def test_a_slope_is_that_of_the_straight_line():
    assert growth.slope([(0, 1), (1, 3), (2, 5)]) == 2
    assert growth.slope([(0, 1), (1, 0), (2, 1)]) == 0
    assert growth.slope([(3, 7), (3, 9)]) == 0
    assert growth.slope([]) == 0


def test_what_stays_as_it_is_is_no_fault():
    assert judge(samples()) == []


def test_memory_is_judged_by_the_least_of_each_minute():
    assert growth.floors(samples(memory=lambda m: 50 + m % 1, minutes=3)) == [(0, 50), (1, 50), (2, 50)]
    assert growth.floors(samples()[:12 + growth.SAMPLES_MIN]) == [(0, 50), (1, 50)]
    assert growth.floors(samples()[:12 + growth.SAMPLES_MIN - 1]) == [(0, 50)]  # barely begun


def test_memory_that_grows_is_a_fault_from_the_bound_on():
    assert judge(samples(memory=lambda m: 50 + 0.49 * m)) == []
    assert "memory grows by 0.51 MiB" in judge(samples(memory=lambda m: 50 + 0.51 * m))[0]


def test_memory_that_goes_up_and_down_is_no_fault():
    assert judge(samples(memory=lambda m: 50 + (round(m * 12) % 2) * 3)) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_of_a_mib_a_minute_is_found_in_the_noise_and_the_noise_alone_is_none(seed):
    noise = busy(seed)
    assert judge(samples(memory=lambda m: 50 + noise())) == []
    assert "memory grows" in judge(samples(memory=lambda m: 50 + m + noise()))[0]


def test_a_leak_that_begins_late_is_found():
    assert "memory grows" in judge(samples(memory=lambda m: 50 + max(0, m - 10)))[0]


def test_something_bounded_that_was_not_full_at_the_beginning_is_found():
    assert "memory grows" in judge(samples(memory=lambda m: 50 + min(3 * m, 25)))[0]
    assert "memory grows" in judge(samples(memory=lambda m: 58.5 if m >= 3 else 52, minutes=5))[0]


def test_memory_that_is_given_back_is_no_fault():
    assert judge(samples(memory=lambda m: 80 - m)) == []


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
    assert "too few" in judge(samples(minutes=growth.MINUTES_MIN - 1))[0]
    assert judge(samples(minutes=growth.MINUTES_MIN)) == []
    assert judge([]) != []
