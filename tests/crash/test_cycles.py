"""A short run of cycles.py; the long one is './dev crash'."""
from test_power import IS_FULL, cycles


def test_a_server_that_is_killed_again_and_again_loses_nothing(tmp_path):
    if not IS_FULL:
        cycles(tmp_path / "c", "--cycles", "8", "--payments-outside", "3", "--orders", "300",
               "--settle", "4")
