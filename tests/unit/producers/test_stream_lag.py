from __future__ import annotations

from producers.stream_lag import StreamLag


def test_the_greatest_lag_counts_for_ten_to_twenty_seconds() -> None:
    lag = StreamLag()
    assert lag.ms(100.0) == 0
    for now_s, lag_ms in ((100.0, 300), (101.0, 2_500), (102.0, 10)):
        lag.note(now_s, lag_ms)
    assert lag.ms(109.0) == 2_500
    lag.note(111.0, 20)
    assert lag.ms(119.0) == 2_500
    assert lag.ms(121.5) == 20


def test_an_event_before_its_time_is_no_lag_and_an_old_lag_is_forgotten() -> None:
    lag = StreamLag()
    lag.note(100.0, -400)
    assert lag.ms(100.0) == 0
    lag.note(101.0, 5_000)
    assert lag.ms(200.0) == 0
