// Windows of trades that `trade_summary` lacks, or has with fewer trades than are stored (docs/downsampling.md).
//
// Consumers write these sums themselves, exactly; this task adds what they had to leave out because its trades came
// too late for their memory. A window that counts as many trades as are stored is not touched: what is exact stays
// so, and running twice changes nothing.
import "date"
import "internal/debug"

option task = {name: "trade_summary_1s", every: 10m, offset: 1m}

every = 1s
interval = "1s"
summaries = "ticks"

// The open minute is the consumer's. A day is looked at each time; once an hour all that is surely whole in `ticks`,
// which keeps 7 days.
stop = date.truncate(t: now(), unit: 1m)
thorough = date.minute(t: stop) < 10
start = if thorough then date.sub(d: 6d, from: stop) else date.sub(d: 1d, from: stop)

// 1. Trades of each minute, and those that its summary counts.
stored =
    from(bucket: "ticks")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "trade" and r._field == "quantity")
        |> aggregateWindow(every: 1m, fn: count, createEmpty: false, timeSrc: "_start")
        |> map(fn: (r) => ({_time: r._time, exchange: r.exchange, symbol: r.symbol, excess: r._value}))
        |> group()
summed =
    from(bucket: summaries)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "trade_summary" and r._field == "trade_count")
        |> filter(fn: (r) => r.interval == interval)
        |> aggregateWindow(every: 1m, fn: sum, createEmpty: false, timeSrc: "_start")
        |> map(fn: (r) => ({_time: r._time, exchange: r.exchange, symbol: r.symbol, excess: -1 * r._value}))
        |> group()
short =
    union(tables: [stored, summed])
        |> group(columns: ["_time", "exchange", "symbol"])
        |> sum(column: "excess")
        |> group()
        |> filter(fn: (r) => r.excess > 0)

// 2. Only the span of those minutes is read in full, at most half an hour from the oldest on, so that memory is
// bounded: the next runs go on from there. Mostly there are none, and it is the last minute.
oldest = short |> min(column: "_time") |> findRecord(fn: (key) => true, idx: 0)
newest = short |> max(column: "_time") |> findRecord(fn: (key) => true, idx: 0)
from_time = if exists oldest._time then oldest._time else date.sub(d: 1m, from: stop)
later = date.add(d: 30m, to: from_time)
after_newest = if exists newest._time then date.add(d: 1m, to: newest._time) else stop
to_time = if after_newest < later then after_newest else later

trades =
    from(bucket: "ticks")
        |> range(start: from_time, stop: to_time)
        |> filter(fn: (r) => r._measurement == "trade")
        |> filter(fn: (r) => r._field == "price" or r._field == "quantity" or r._field == "buyer_is_maker")
        |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
        |> group(columns: ["exchange", "symbol"])
        |> keep(columns: ["_time", "exchange", "symbol", "price", "quantity", "buyer_is_maker"])
known =
    from(bucket: summaries)
        |> range(start: from_time, stop: to_time)
        |> filter(fn: (r) => r._measurement == "trade_summary" and r._field == "trade_count")
        |> filter(fn: (r) => r.interval == interval)
        |> group(columns: ["exchange", "symbol"])
        |> rename(columns: {_value: "known"})
        |> keep(columns: ["_time", "exchange", "symbol", "known"])

// 3. A window has its trades, and one row that says how many its summary counts. Written is only what counts more
// than that: a newer sum of the consumer's is never undone.
union(tables: [trades, known])
    |> window(every: every)
    |> reduce(
        identity: {known: 0, trade_count: 0, base_volume: 0.0, quote_volume: 0.0, taker_buy_base_volume: 0.0},
        fn: (r, accumulator) =>
            ({
                known: if exists r.known then r.known else accumulator.known,
                trade_count: accumulator.trade_count + (if exists r.known then 0 else 1),
                base_volume: accumulator.base_volume + (if exists r.known then 0.0 else r.quantity),
                quote_volume: accumulator.quote_volume + (if exists r.known then 0.0 else r.price * r.quantity),
                taker_buy_base_volume:
                    accumulator.taker_buy_base_volume + (if exists r.known or r.buyer_is_maker then
                        0.0
                    else
                        r.quantity),
            }),
    )
    |> filter(fn: (r) => r.trade_count > r.known)
    |> duplicate(column: "_start", as: "_time")
    |> group()
    |> map(
        fn: (r) =>
            ({
                _time: r._time,
                _measurement: "trade_summary",
                exchange: r.exchange,
                symbol: r.symbol,
                interval: interval,
                trade_count: r.trade_count,
                base_volume: r.base_volume,
                quote_volume: r.quote_volume,
                taker_buy_base_volume: r.taker_buy_base_volume,
                // None without volume.
                vwap: if r.base_volume > 0.0 then r.quote_volume / r.base_volume else debug.null(type: "float"),
            }),
    )
    |> to(
        bucket: summaries,
        tagColumns: ["exchange", "symbol", "interval"],
        fieldFn: (r) =>
            ({
                trade_count: r.trade_count,
                base_volume: r.base_volume,
                quote_volume: r.quote_volume,
                taker_buy_base_volume: r.taker_buy_base_volume,
                vwap: r.vwap,
            }),
    )
