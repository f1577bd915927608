"""What Grafana would refuse, ignore or show wrongly, found without Grafana (reference: STACK.md §3, §7)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from grafana import boards
from grafana.alerts import RULES, provisioning
from grafana.build import DASHBOARDS, HERE, files
from grafana.model import Dashboard, Panel
from grafana.queries.alerts import STALE
from grafana.queries.market import QUOTE_AGE
from grafana.render import TAG, dashboard, panel_id
from tests.conftest import ROOT

PANELS = [(board, panel) for board in boards.ALL for row in board.rows for panel in row.panels]
# Bookmarks and links name them.
UIDS = {"market", "order-book", "trades", "compare", "indicators", "pipeline"}
# What Grafana's Flux datasource replaces after any word and a dot, e.g. in `r.bucket`.
MACRO = re.compile(
    r"\b(\w+)\.(?:timeRangeStart|timeRangeStop|windowPeriod|bucket|defaultBucket|organization)\b"
)


def title(value: object) -> str:
    return str(getattr(value, "uid", "") or getattr(value, "title", ""))


def queries(model: Any) -> Iterator[str]:
    """Every Flux text in a model."""
    if isinstance(model, dict):
        for key, value in model.items():
            if key == "query" and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(model, list):
        for value in model:
            yield from queries(value)


def test_the_files_are_what_the_generator_gives() -> None:
    current = files()
    assert {path: path.read_text(encoding="utf-8") for path in current} == current, "run: make dashboards"
    assert set(DASHBOARDS.glob("*")) == {path for path in current if path.parent == DASHBOARDS}


def test_the_uids_are_those_of_the_first_day() -> None:
    assert {board.uid for board in boards.ALL} == UIDS


@pytest.mark.parametrize("board", boards.ALL, ids=title)
def test_a_dashboard_is_classic_shared_and_in_utc(board: Dashboard) -> None:
    model = dashboard(board)
    assert model["id"] is None
    assert (model["schemaVersion"], model["timezone"], model["editable"]) == (41, "utc", False)
    assert "spec" not in model and "elements" not in model
    assert model["refresh"] in model["timepicker"]["refresh_intervals"]
    ids = [panel["id"] for panel in model["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("board", boards.ALL, ids=title)
def test_dashboards_link_to_each_other_with_time_and_choices(board: Dashboard) -> None:
    model = dashboard(board)
    assert TAG in model["tags"]
    link, live = model["links"]
    assert live["url"].startswith("http://localhost:8000/") and live["title"] == "Live page"
    assert (link["type"], link["tags"], link["keepTime"], link["includeVars"]) == (
        "dashboards", [TAG], True, True,
    )  # fmt: skip
    for url in re.findall(r'"url": "/d/([\w-]+)', json.dumps(model)):
        assert url in UIDS


@pytest.mark.parametrize("board", boards.ALL, ids=title)
def test_panels_lie_side_by_side_and_never_over_each_other(board: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(board)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=title)
def test_a_panel_explains_itself_also_when_it_is_empty(board: Dashboard, panel: Panel) -> None:
    assert len(panel.description) > 20
    assert panel.description.endswith(".")
    # Titles and descriptions are filled in by Grafana, this text is not.
    assert panel.empty
    assert "$" not in panel.empty
    assert panel.defaults["unit"]
    assert panel.defaults["thresholds"]["steps"][0]["value"] is None


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=title)
def test_names_and_overrides_are_of_fields_that_the_query_gives(board: Dashboard, panel: Panel) -> None:
    named = re.findall(r"__field\.labels\.(\w+)", json.dumps(panel.defaults))
    # These two never become labels: Grafana names the value after them.
    assert not {"_field", "_measurement"} & set(named)
    assert set(named) <= set(panel.query.labels)
    overridden = {override["matcher"]["options"] for override in panel.overrides}
    of_values = {"backfilled", "lost"} if "_field" in panel.query.labels else set()
    assert overridden <= {*panel.query.columns, *of_values}
    for by in panel.options.get("sortBy", ()):
        shown = {
            item["value"]
            for override in panel.overrides
            for item in override["properties"]
            if item["id"] == "displayName"
        }
        assert by["displayName"] in shown | set(panel.query.columns) - {"_time"}
    if panel.kind == "candlestick":
        assert set(panel.options["fields"].values()) <= set(panel.query.columns)
    if panel.kind == "barchart":
        assert panel.options["xField"] in panel.query.columns


@pytest.mark.parametrize("board", boards.ALL, ids=title)
def test_only_declared_variables_are_used(board: Dashboard) -> None:
    declared: set[str] = set()
    for variable in board.variables:
        assert set(re.findall(r"\$\{(\w+)", variable.flux)) <= declared, (
            "only those to the left are known yet"
        )
        declared.add(variable.name)
    for text in queries(dashboard(board)):
        assert set(re.findall(r"\$\{(\w+)", text)) <= declared


def test_no_dashboard_is_of_one_exchange_or_knows_a_symbol() -> None:
    """It opens on the first exchange and symbol that are there; a saved name need not be."""
    for board in boards.ALL:
        model = dashboard(board)
        saved = {item["name"]: item["current"] for item in model["templating"]["list"]}
        assert {"exchange", "exchanges"} & saved.keys(), board.uid
        assert saved.get("exchange", {}) == saved.get("symbol", {}) == {}
        for name in {"exchanges", "pairs", "symbols"} & saved.keys():
            assert saved[name] == {"text": "All", "value": ["$__all"]}
        assert not re.search(r"binance|kraken|coinbase|BTC", json.dumps(model)), board.uid


@pytest.mark.parametrize("board", boards.ALL, ids=title)
def test_a_query_of_one_symbol_asks_for_its_exchange_too(board: Dashboard) -> None:
    """Two exchanges may have a symbol of one name."""
    for text in queries(dashboard(board)):
        assert text.count("${symbol}") == text.count(
            'r.exchange == "${exchange}" and r.symbol == "${symbol}"'
        )
        assert text.count("${symbols:regex}") <= text.count("${exchanges:regex}")


def test_a_rule_of_one_exchange_names_it() -> None:
    for rule in RULES:
        assert ("$labels.exchange" in rule.summary) == ("exchange" in rule.labels), rule.uid


def test_queries_read_the_store_and_nothing_else() -> None:
    for text in {text for model in files().values() for text in queries(json.loads(model))}:
        assert "from(bucket:" in text or "schema." in text, text
        for constant in ("array.from", "csv.from", "generate.from", "sql.from", "http."):
            assert constant not in text
        assert set(MACRO.findall(text)) <= {"v"}, text


def test_rules_point_to_their_panels_and_fill_in_labels_that_they_have() -> None:
    (group,) = provisioning()["groups"]
    assert len({rule.uid for rule in RULES}) == len(RULES)
    for rule, model in zip(RULES, group["rules"], strict=True):
        assert model["panelId"] == panel_id(boards.BY_UID[model["dashboardUid"]], rule.shown_in[1])
        assert set(re.findall(r"\$labels\.(\w+)", rule.summary)) <= set(rule.labels)
        # Labels alone are expanded by the environment.
        assert "$" not in json.dumps(model["labels"])
        assert model["condition"] == model["data"][-1]["refId"]
    assert int(group["interval"].removesuffix("s")) % 10 == 0


def test_a_rule_that_fires_without_any_series_says_so() -> None:
    """Without labels the sentence about a series would be one about nothing, "late by 0s"."""
    for rule in RULES:
        if rule.no_data == "Alerting":
            assert rule.summary.startswith("{{ if $labels.")
            assert "{{ else }}" in rule.summary
            assert rule.summary.endswith("{{ end }}")


def test_rules_that_find_the_last_stop_wait_for_a_start_of_everything() -> None:
    """After a night without the stack every feed and service is old until it is heard: a minute or two."""
    for uid in ("feed-stale", "service-silent"):
        (rule,) = (rule for rule in RULES if rule.uid == uid)
        assert rule.wait == "2m"


def test_no_spans_are_not_taken_for_a_book_that_was_synced() -> None:
    """The table is empty as well where nothing came at all."""
    for _, panel in PANELS:
        if panel.title == "Spans without a synced book":
            assert "all the time" not in panel.empty


def test_a_rule_for_a_panel_that_is_not_there_is_refused() -> None:
    with pytest.raises(LookupError, match="market has no panel 'Nothing'"):
        panel_id(boards.BY_UID["market"], "Nothing")


def test_the_provisioning_names_what_the_stack_mounts() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in (HERE / "provisioning").rglob("*.yaml")}
    for file, line in (
        ("influxdb.yaml", "    uid: influxdb"),
        ("influxdb.yaml", "    url: http://influxdb:8086"),
        ("influxdb.yaml", "      organization: crypto"),
        ("influxdb.yaml", "      timeInterval: 1s"),
        ("influxdb.yaml", "      token: $__file{/run/cryptostream-secrets/influx-reader-token}"),
        ("cryptostream.yaml", "      path: /var/lib/grafana/dashboards"),
        ("contact-point.yaml", "          url: $__file{/run/cryptostream-secrets/alert-webhook-url}"),
    ):
        assert line in texts[file].splitlines(), f"{file}: {line}"
    assert all(text.startswith("#") and "\napiVersion: 1\n" in text for text in texts.values())


def test_the_tasks_are_one_script_but_for_the_window() -> None:
    seconds, minutes = (
        (ROOT / "influxdb/tasks" / f"trade_summary_{interval}.flux").read_text(encoding="utf-8")
        for interval in ("1s", "1m")
    )
    changed = [
        pair for pair in zip(seconds.splitlines(), minutes.splitlines(), strict=True) if len(set(pair)) > 1
    ]
    assert [left.split(" = ")[0] for left, _ in changed] == ["option task", "every", "interval", "summaries"]
    for script in (seconds, minutes):
        assert (
            len(re.findall(r"^option task = \{name: \"\w+\", every: \w+, offset: \w+\}$", script, re.M)) == 1
        )


def shown(board: Dashboard) -> Iterator[tuple[str, str, int | None]]:
    """Panel (and field), unit and decimals of everything that is shown."""
    for panel in (panel for row in board.rows for panel in row.panels):
        yield panel.title, panel.defaults["unit"], panel.defaults.get("decimals")
        for override in panel.overrides:
            properties = {each["id"]: each["value"] for each in override["properties"]}
            if "unit" in properties:
                name = f"{panel.title}: {override['matcher']['options']}"
                yield name, properties["unit"], properties.get("decimals")


def test_no_price_is_cut_at_three_decimals() -> None:
    # 1.2e-8 has nine, and Grafana's `locale` shows three of them unless it is told otherwise.
    decimals = [
        (where, found) for board in boards.ALL for where, unit, found in shown(board) if unit == "locale"
    ]
    assert len(decimals) >= 15
    assert [where for where, found in decimals if found is None or found < 8] == []


@pytest.mark.parametrize(
    "where",
    [
        "RSI",
        "RSI of the open bar",
        "Intervals: momentum_rsi",
        "Intervals: trend_adx",
        "Intervals: volatility_bbp",
        "Widest spread",
    ],
)
def test_an_indicator_has_five_digits(where: str) -> None:
    found = [decimals for board in boards.ALL for name, _, decimals in shown(board) if name == where]
    assert found
    assert all(decimals is not None and decimals >= 3 for decimals in found)


def test_the_age_of_quotes_does_not_hang_on_one_side() -> None:
    texts = [QUOTE_AGE.flux, STALE]
    assert all('"update_id"' in text and '"bid_price"' not in text for text in texts)
