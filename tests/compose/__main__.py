"""`make test-compose`: from a clean engine to a stack that has lost nothing, whatever was done to it."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from functools import partial
from typing import Final

from tests.compose import checks, exchanges, page
from tests.compose.composer import (
    Composer,
    Failed,
    containers,
    engine,
    lasting,
    provide_postgres,
    say,
    wait_until,
    wait_until_well,
)

FILES: Final = {
    "confluent": "docker-compose.yml",
    "light": "compose.light.yml",
    "three": "compose.three-brokers.yml",
}
UP_S: Final = 600.0
WELL_S: Final = 420.0
SLOW_STORE_S: Final = 20.0
LEGACY_NETWORK: Final = "crypto_network"


def main() -> int:
    """Run the steps; exit code 1 and the first broken promise if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.compose", description=__doc__, allow_abbrev=False)
    parser.add_argument("--broker", choices=FILES, default="confluent")
    parser.add_argument("--c3", action="store_true", help="with Control Center")
    parser.add_argument("--snapshots", action="store_true", help="with the snapshot pipeline")
    parser.add_argument("--short", action="store_true", help="bring-up, provisioning, dashboards, tear-down")
    parser.add_argument("--minutes", type=float, default=10.0, help="of flow (default: %(default)g)")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    parser.add_argument("--only", action="append", choices=STEPS, help="these steps on what is running")
    arguments = parser.parse_args()
    composer = Composer(
        (FILES[arguments.broker], "compose.simulator.yml"),
        ["kraken", "coinbase", *(name for name in ("c3", "snapshots") if getattr(arguments, name))],
        {
            "MORE_SYMBOLS": ",".join(f"{exchange}:{symbol}" for exchange, symbol in checks.ELSEWHERE),
            "C3_ENABLED": str(arguments.c3).lower(),
            # A snapshot each minute: nobody waits five for one.
            "SNAPSHOT_CRON": "*/1 * * * *",
        },
    )
    # Told to end, it takes its containers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        for step in arguments.only or _steps(arguments):
            say(f"— {step}")
            STEPS[step](composer, arguments)
        say(f"all promises held, in {(time.monotonic() - began) / 60:.1f} minutes")
        return 0
    except Failed as failed:
        say(f"FAILED: {failed}")
        sys.stdout.write(
            composer.call("ps", check=False) + composer.call("logs", "--tail", "15", check=False)
        )
        return 1
    finally:
        if not arguments.keep and not arguments.only:
            composer.down("--volumes")


def _steps(arguments: argparse.Namespace) -> list[str]:
    if arguments.short:
        steps = ["clean", "up", "flow", "exchanges", "page", "dashboards", "secrets"]
    elif arguments.broker == "three":
        steps = ["clean", "up", "flow", "exchanges", "lose-a-broker", "ledger"]
    else:
        steps = [name for name in STEPS if name not in ("lose-a-broker", "ledger", "snapshots")]
    if arguments.snapshots:
        steps.insert(steps.index("flow") + 1, "snapshots")
    return steps


def _clean(composer: Composer, arguments: argparse.Namespace) -> None:
    composer.down("--volumes")


def _up(composer: Composer, arguments: argparse.Namespace) -> None:
    """With a network of the name that older set-ups made by hand."""
    if arguments.snapshots:
        provide_postgres()
    ours = not engine("network", "ls", "-q", "--filter", f"name=^{LEGACY_NETWORK}$").strip()
    if ours:
        engine("network", "create", LEGACY_NETWORK)
    try:
        began = time.monotonic()
        composer.call("up", "--build", "--detach", timeout_s=UP_S, shown=True)
        wait_until_well(WELL_S)
        say(f"healthy {time.monotonic() - began:.0f} s after `up --build`")
    finally:
        if ours:
            engine("network", "rm", LEGACY_NETWORK)


def _flow(composer: Composer, arguments: argparse.Namespace) -> None:
    """Points flow, with a gap, a bad record and a book out of step; in the full form a slow store too."""
    until = time.monotonic() + arguments.minutes * 60
    # Only now that everything works: a slow machine would otherwise meet them while it starts.
    checks.simulator(composer, "/simulator/faults", {"faults": checks.FAULTS})
    wait_until(
        "the simulator's faults",
        lambda: all(fault["fired"] for fault in checks.simulator(composer, "/simulator/faults")),
        60,
    )
    wait_until("the book out of step is in the store", lambda: checks.out_of_step(composer), 60)
    if arguments.short:
        wait_until_well(WELL_S)
        checks.flowing(composer)
        return
    say(f"the store stands still for {SLOW_STORE_S:.0f} s")
    composer.call("pause", "influxdb")
    time.sleep(SLOW_STORE_S)
    composer.call("unpause", "influxdb")
    time.sleep(max(until - time.monotonic(), 0.0))
    wait_until_well(WELL_S)
    checks.flowing(composer)
    checks.undisturbed()
    checks.scripted_events(composer, checks.ledger(composer))
    checks.shown_events()
    checks.memory()


def _snapshots(composer: Composer, arguments: argparse.Namespace) -> None:
    """The schedule runs: complete rows of two slots land."""
    seconds = wait_until(
        "snapshots of two slots", lambda: len(checks.snapshot_slots(composer)) >= 2, 240, 10.0
    )
    say(f"snapshots: complete rows of two scheduled slots after {seconds:.0f} s")


def _exchanges(composer: Composer, arguments: argparse.Namespace) -> None:
    """Points of every exchange come, and one dashboard has all of them."""
    wait_until("points of every exchange in the last minute", exchanges.flowing, 120)
    wait_until("every exchange side by side in the dashboard Compare", exchanges.compared, 60)
    say(f"exchanges: {', '.join(checks.EXCHANGES)} flow, and Compare has all of them side by side")


def _page(composer: Composer, arguments: argparse.Namespace) -> None:
    page.look()


def _dashboards(composer: Composer, arguments: argparse.Namespace) -> None:
    checks.dashboards(composer)


def _secrets(composer: Composer, arguments: argparse.Namespace) -> None:
    checks.secrets(composer)


def _again(composer: Composer, arguments: argparse.Namespace) -> None:
    """Down and up: what was stored is stored, what happened meanwhile is fetched."""
    before = checks.expected(checks.ledger(composer))
    composer.down()
    composer.call("up", "--detach", timeout_s=UP_S)
    say(f"healthy again after {wait_until_well(WELL_S):.0f} s")
    after = checks.expected(checks.ledger(composer))
    if fewer := {series for series, count in before.items() if after.get(series, 0) < count}:
        raise Failed(f"fewer than before: {fewer}")


def _kill(composer: Composer, arguments: argparse.Namespace) -> None:
    """Every container is killed once while everything runs; the engine starts it again."""
    names = list(lasting(containers()))
    random.Random(1).shuffle(names)
    for name in names:
        one = containers()[name]
        _kill_process(one)
        wait_until(
            f"{name} after its kill",
            partial(_started_again, name, one["State"]["StartedAt"]),
            90,
            every_s=1.0,
        )
    say(f"{len(names)} killed; healthy after another {wait_until_well(WELL_S):.0f} s")
    checks.ledger(composer)


def _kill_process(one: dict[str, object]) -> None:
    """As a crash: the engine would not start again what was killed through it."""
    state = one["State"]
    assert isinstance(state, dict)
    try:
        os.kill(int(state["Pid"]), signal.SIGKILL)
    except (PermissionError, ProcessLookupError):
        engine("kill", str(one["Id"]))
        engine("start", str(one["Id"]))


def _started_again(name: str, started_at: str) -> bool:
    state = containers()[name]["State"]
    return bool(state["Status"] == "running" and state["StartedAt"] != started_at)


def _rolling(composer: Composer, arguments: argparse.Namespace) -> None:
    """Every service is stopped in good order and started again, one after the other."""
    for service in sorted({name.rpartition(".")[0] for name in lasting(containers())}):
        began = time.monotonic()
        composer.call("restart", service)
        say(f"{service}: restarted in {time.monotonic() - began:.0f} s")
    wait_until_well(WELL_S)
    checks.ledger(composer)


def _has_members(composer: Composer, count: int) -> bool:
    return checks.members(composer, "cryptostream.klines.1s") == count


def _scale(composer: Composer, arguments: argparse.Namespace) -> None:
    """Three consumers of the busiest interval share its partitions; then one is left."""
    for count in (3, 1):
        composer.call("up", "--detach", "--no-deps", "--scale", f"consumer-1s={count}", "consumer-1s")
        wait_until_well(WELL_S)
        wait_until(
            f"{count} members of the group",
            partial(_has_members, composer, count),
            120,
        )
        say(f"consumer-1s: {count} members share the partitions")
    checks.ledger(composer)


def _lose_a_broker(composer: Composer, arguments: argparse.Namespace) -> None:
    """One of three brokers dies under load and comes back after a minute."""
    one = containers()["broker-2.1"]
    engine("kill", one["Id"])
    say("broker-2 is gone")
    time.sleep(60)
    checks.flowing(composer)
    engine("start", one["Id"])
    wait_until_well(WELL_S)


def _ledger(composer: Composer, arguments: argparse.Namespace) -> None:
    checks.ledger(composer)


STEPS: Final = {
    "clean": _clean,
    "up": _up,
    "flow": _flow,
    "snapshots": _snapshots,
    "exchanges": _exchanges,
    "page": _page,
    "dashboards": _dashboards,
    "secrets": _secrets,
    "down-and-up": _again,
    "kill-each": _kill,
    "rolling-restart": _rolling,
    "scale": _scale,
    "lose-a-broker": _lose_a_broker,
    "ledger": _ledger,
}

if __name__ == "__main__":
    sys.exit(main())
