"""What a run hears of its simulator."""

from __future__ import annotations

from cryptostream.run.simulator import SimulatorClient


def test_a_simulator_that_reads_a_long_recording_is_heard_of() -> None:
    said: list[str] = []
    link = SimulatorClient(said.append)
    for line in (
        '{"event":"reading","read":100000}',
        '{"event":"note","text":"f: cut"}',
        "no event",
        '{"event":"listening","port":7,"rest_url":"http://h:7","ws_url":"ws://h:7"}',
    ):
        link.on_output(line)
    link.tick()
    assert (link.read, link.listening) == (100_000, False)
    link.tick()
    link.tick()
    assert (link.port, said) == (7, ["note: f: cut"])
