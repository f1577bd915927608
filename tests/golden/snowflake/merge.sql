MERGE INTO SNAPSHOTS AS t
USING (
    SELECT exchange, symbol, slot, status, reason, origin, observed_time, exchange_time, last_price, change_24h, change_24h_percent, high_24h, low_24h, base_volume_24h, quote_volume_24h, weighted_average_price_24h, best_bid, best_bid_quantity, best_ask, best_ask_quantity, spread, spread_percent, last_trades_mean_price, last_trades_volume, last_trades_count
    FROM SNAPSHOTS_STAGING_0123456789ABCDEF01234567
    QUALIFY ROW_NUMBER() OVER (
        PARTITION BY exchange, symbol, slot
        ORDER BY CASE WHEN status = 'complete' THEN 3 WHEN status = 'backfilled' THEN 2 WHEN reason IN ('no_trading', 'unknown_symbol') THEN 1 ELSE 0 END DESC, observed_time
    ) = 1
) AS s
ON t.exchange = s.exchange AND t.symbol = s.symbol AND t.slot = s.slot
WHEN MATCHED AND (
    CASE WHEN s.status = 'complete' THEN 3 WHEN s.status = 'backfilled' THEN 2 WHEN s.reason IN ('no_trading', 'unknown_symbol') THEN 1 ELSE 0 END > CASE WHEN t.status = 'complete' THEN 3 WHEN t.status = 'backfilled' THEN 2 WHEN t.reason IN ('no_trading', 'unknown_symbol') THEN 1 ELSE 0 END
    OR (CASE WHEN s.status = 'complete' THEN 3 WHEN s.status = 'backfilled' THEN 2 WHEN s.reason IN ('no_trading', 'unknown_symbol') THEN 1 ELSE 0 END = CASE WHEN t.status = 'complete' THEN 3 WHEN t.status = 'backfilled' THEN 2 WHEN t.reason IN ('no_trading', 'unknown_symbol') THEN 1 ELSE 0 END AND s.observed_time < t.observed_time)
) THEN UPDATE SET
    t.status = s.status,
    t.reason = s.reason,
    t.origin = s.origin,
    t.observed_time = s.observed_time,
    t.exchange_time = s.exchange_time,
    t.last_price = s.last_price,
    t.change_24h = s.change_24h,
    t.change_24h_percent = s.change_24h_percent,
    t.high_24h = s.high_24h,
    t.low_24h = s.low_24h,
    t.base_volume_24h = s.base_volume_24h,
    t.quote_volume_24h = s.quote_volume_24h,
    t.weighted_average_price_24h = s.weighted_average_price_24h,
    t.best_bid = s.best_bid,
    t.best_bid_quantity = s.best_bid_quantity,
    t.best_ask = s.best_ask,
    t.best_ask_quantity = s.best_ask_quantity,
    t.spread = s.spread,
    t.spread_percent = s.spread_percent,
    t.last_trades_mean_price = s.last_trades_mean_price,
    t.last_trades_volume = s.last_trades_volume,
    t.last_trades_count = s.last_trades_count
WHEN NOT MATCHED THEN INSERT (exchange, symbol, slot, status, reason, origin, observed_time, exchange_time, last_price, change_24h, change_24h_percent, high_24h, low_24h, base_volume_24h, quote_volume_24h, weighted_average_price_24h, best_bid, best_bid_quantity, best_ask, best_ask_quantity, spread, spread_percent, last_trades_mean_price, last_trades_volume, last_trades_count)
VALUES (s.exchange, s.symbol, s.slot, s.status, s.reason, s.origin, s.observed_time, s.exchange_time, s.last_price, s.change_24h, s.change_24h_percent, s.high_24h, s.low_24h, s.base_volume_24h, s.quote_volume_24h, s.weighted_average_price_24h, s.best_bid, s.best_bid_quantity, s.best_ask, s.best_ask_quantity, s.spread, s.spread_percent, s.last_trades_mean_price, s.last_trades_volume, s.last_trades_count)
