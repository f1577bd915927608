"""All names of settings, so that misspelt ones are found. A test compares this list with its sources."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

# Fields of `shared.settings.Settings`.
STREAM: Final = (
    *("EXCHANGE", "SYMBOLS", "INTERVALS", "INDICATORS"),
    *("BINANCE_REST_URL", "BINANCE_WS_URL", "BINANCE_HISTORY_URL", "KRAKEN_REST_URL", "KRAKEN_WS_URL"),
    *("COINBASE_REST_URL", "COINBASE_WS_URL", "COINBASE_EXCHANGE_URL"),
    "KAFKA_BOOTSTRAP_SERVERS",
    *("STORE", "SQLITE_PATH", "SQLITE_SYNCHRONOUS"),
    *("INFLUX_URL", "INFLUX_ORG", "INFLUX_TOKEN", "INFLUX_BUCKET_MARKET", "INFLUX_BUCKET_TICKS"),
    *("BOOK_INTERVAL_MS", "LIVE_INTERVAL_MS", "WARMUP_BARS", "METRICS_PORT", "METRICS_ADDRESS"),
    *("API_HOST", "API_PORT", "API_TOKEN", "API_FRAME_MS", "API_CREDITS", "API_CLIENTS"),
    *("API_TRADES_PER_FRAME", "API_BACKLOG_ROWS", "GRAFANA_URL"),
    *("LOG_LEVEL", "LOG_FORMAT"),
)
# Further fields of the snapshot pipeline (`pipelines.snapshots.settings`).
SNAPSHOTS: Final = (
    *("SNAPSHOT_SYMBOLS", "SNAPSHOT_CRON", "SNAPSHOT_DIR", "SNAPSHOT_LANDING", "SNAPSHOT_WEBHOOK_URL"),
    *("SNAPSHOT_REPEAT_ALERT_MINUTES", "AZURE_STORAGE_CONNECTION_STRING"),
    *("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_ROLE", "SNOWFLAKE_WAREHOUSE", "SNOWFLAKE_DATABASE"),
    *("SNOWFLAKE_SCHEMA", "SNOWFLAKE_PRIVATE_KEY_FILE", "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"),
    "SNOWFLAKE_TOKEN",
)
# Files that hold a secret, in place of the secret.
FILES: Final = (
    *("INFLUX_TOKEN_FILE", "API_TOKEN_FILE", "SNAPSHOT_WEBHOOK_URL_FILE"),
    "AZURE_STORAGE_CONNECTION_STRING_FILE",
    *("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE_FILE", "SNOWFLAKE_TOKEN_FILE"),
)
SETTINGS: Final = frozenset((*STREAM, *SNAPSHOTS, *FILES))
# Read by the compose files only.
STACK: Final = frozenset(
    (
        *("BACKUPS", "BIND_ADDRESS", "GRAFANA_ANONYMOUS", "KAFKA_CLUSTER_ID", "MORE_SYMBOLS"),
        *("C3_ENABLED", "C3_PORT", "GRAFANA_PORT", "INFLUX_PORT", "KAFKA_PORT", "PREFECT_PORT"),
        *("C3_TAG", "CP_TAG", "CRYPTOSTREAM_TAG", "GRAFANA_TAG", "INFLUX_TAG", "KAFKA_TAG", "POSTGRES_TAG"),
        *("NODE_IMAGE", "PYTHON_IMAGE", "SNAPSHOT_SECRETS"),
        *("SIMULATED_DATA", "SIMULATOR_SEED", "SIMULATOR_START_MS"),
    )
)
# Former settings, and their present form.
MOVED: Final = {
    "ALERT_WEBHOOK_URL": "is a secret; move it into the file influxdb/secrets/.env.alert-webhook-url"
}
# Further names that a process or compose reads (docs/settings.md).
SURROUNDINGS: Final = frozenset(("INSTANCE", "INSTANCE_SLOTS", "TZ"))
PROXIES: Final = frozenset(("http_proxy", "https_proxy", "all_proxy", "no_proxy"))
_OTHERS: Final = ("COMPOSE_", "DOCKER_", "BUILDKIT_", "PODMAN_", "PREFECT_", "CRYPTOSTREAM_")
_ALL: Final = SETTINGS | STACK | SURROUNDINGS
_NEAR: Final = 0.75
# Other programs have names in the environment too: only a very similar one counts as misspelt.
_SLIP: Final = 0.85
_SHORTEST_SLIP: Final = 6
# Names of InfluxDB's own command line.
_NOT_SLIPS: Final = frozenset(("INFLUX_ORG_ID", "INFLUX_HOST"))


def is_known(name: str) -> bool:
    """Whether a name, in upper case, may be in `.env`."""
    return name in _ALL or name.startswith(_OTHERS)


def nearest(name: str) -> str | None:
    """The setting that was probably meant."""
    near = difflib.get_close_matches(name.upper(), sorted(_ALL), n=1, cutoff=_NEAR)
    return near[0] if near else None


def misspelt(names: Iterable[str]) -> list[tuple[str, str]]:
    """Probably misspelt names of an environment, each with the setting that was meant."""
    slips = []
    for name in sorted(names):
        if len(name) < _SHORTEST_SLIP or name.startswith(_OTHERS) or name.upper() in _ALL | _NOT_SLIPS:
            continue
        near = difflib.get_close_matches(name, sorted(SETTINGS), n=1, cutoff=_SLIP)
        if near:
            slips.append((name, near[0]))
    return slips
