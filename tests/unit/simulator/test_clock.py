from simulator.server.clock import WorldClock


class Time:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_a_held_clock_stands_at_its_start_until_it_is_released() -> None:
    time = Time()
    clock = WorldClock(10_000, 2.0, time, held=True)
    time.now_s += 7
    assert (clock.held, clock.now_ms()) == (True, 10_000)
    clock.release()
    time.now_s += 1.5
    clock.release()
    assert (clock.held, clock.now_ms()) == (False, 13_000)


def test_a_clock_stops_at_a_time_that_was_set_before_and_finals_are_through() -> None:
    time = Time()
    clock = WorldClock(10_000, 1.0, time)
    assert clock.freeze(12_000) == 12_060
    time.now_s += 30
    assert clock.now_ms() == 12_060
    # Stopping again, or later, changes nothing.
    assert clock.freeze() == clock.freeze(20_000) == 12_060


def test_a_clock_stops_where_no_batch_is_open() -> None:
    clock = WorldClock(10_000, 1.0, Time(), batch_ms=250)
    assert clock.freeze(12_130) == 12_250
    assert clock.freeze(12_000) == 12_250


def test_an_earlier_stop_goes_before_a_later_one_and_a_held_clock_stops_where_it_stands() -> None:
    time = Time()
    clock = WorldClock(10_000, 1.0, time)
    clock.freeze(60_000)
    time.now_s += 1.5
    assert clock.freeze() == 11_500
    held = WorldClock(10_000, 1.0, time, held=True)
    assert held.freeze() == 10_000


def test_a_world_whose_events_leave_in_time_is_never_held_back() -> None:
    time = Time()
    clock = WorldClock(10_000, 20.0, time)
    for _ in range(100):
        time.now_s += 0.7
        clock.sent(clock.now_ms())
    assert clock.now_ms() == 10_000 + round(100 * 0.7 * 20_000)


def test_a_world_that_cannot_send_as_fast_goes_slower_and_never_back() -> None:
    time = Time()
    clock = WorldClock(0, 20.0, time)
    sent_ms, told = 0, [0]
    for _ in range(1_000):
        time.now_s += 0.1
        sent_ms += 500  # 5 world seconds in a real one
        told.append(clock.now_ms())
        clock.sent(sent_ms)
    assert told == sorted(told)
    # A real second ahead of its events at most.
    assert 0 < told[-1] - sent_ms <= 20_000
    # Once they have caught up, it goes at its speed again.
    clock.sent(told[-1])
    time.now_s += 0.5
    assert abs(clock.now_ms() - told[-1] - 10_000) <= 1  # of rounding
