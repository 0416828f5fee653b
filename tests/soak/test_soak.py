"""How the long run finds its rate, and when its warm-up is over."""
import pathlib
import sys
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import soak  # noqa: E402, I001  (finds the harness)
import harness  # noqa: E402

EVICTED = 'orderly_cache_evictions_total{{kind="orders"}} {}\norderly_cache_evictions_total{{kind="carts"}} {}\n'


def a_run(rate=700, peak=1000):
    return soak.Run(types.SimpleNamespace(minutes=20), None, None, peak, rate)


def figures(p50):
    return {"latency": {"p50": p50}}


def test_a_rate_that_is_kept_up_with_stays():
    run = a_run()
    run._look_at_rate(figures(soak.LATE_MS - 1))
    assert run.rate == 700


def test_a_rate_that_is_too_much_is_lowered_and_said_so(capsys):
    run = a_run()
    run._look_at_rate(figures(soak.LATE_MS))
    assert run.rate == 560
    assert "from here on 560 orders/s, 56% of the peak" in capsys.readouterr().out


def test_a_machine_that_has_no_time_at_all_ends_the_run():
    run = a_run()
    with pytest.raises(harness.WrongResult, match="no time for 60 orders/s"):
        for _ in range(100):
            run._look_at_rate(figures(5000))


def test_a_cache_is_full_when_something_had_to_leave_it():
    assert not soak.caches_are_full(harness.Metrics(""))
    assert not soak.caches_are_full(harness.Metrics(EVICTED.format(0, 0)))
    assert not soak.caches_are_full(harness.Metrics(EVICTED.format(1, 0)))
    assert not soak.caches_are_full(harness.Metrics(EVICTED.format(0, 1)))
    assert soak.caches_are_full(harness.Metrics(EVICTED.format(1, 1)))
