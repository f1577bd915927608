CREATE DATABASE IF NOT EXISTS CRYPTOSTREAM;

CREATE SCHEMA IF NOT EXISTS CRYPTOSTREAM.MARKET;

USE SCHEMA CRYPTOSTREAM.MARKET;

CREATE TABLE IF NOT EXISTS SNAPSHOTS (
    exchange VARCHAR NOT NULL COMMENT '–: binance',
    symbol VARCHAR NOT NULL COMMENT '–: settings',
    slot TIMESTAMP_TZ NOT NULL COMMENT 'UTC: the scheduled instant, from the scheduler',
    status VARCHAR NOT NULL COMMENT '–: complete, backfilled or missing',
    reason VARCHAR COMMENT '–: why it is not complete; null if it is',
    origin VARCHAR NOT NULL COMMENT '–: scheduled, manual or backfill: what kind of run took it',
    observed_time TIMESTAMP_TZ NOT NULL COMMENT 'UTC: our clock, set to the exchange''s, when the last answer came; missing: when that was entered',
    exchange_time TIMESTAMP_TZ COMMENT 'UTC: ticker/24hr closeTime; klines: the slot',
    last_price NUMBER(38, 18) COMMENT 'quote asset: ticker/24hr lastPrice; klines: close of the last bar',
    change_24h NUMBER(38, 18) COMMENT 'quote asset: ticker/24hr priceChange; klines: close − first open',
    change_24h_percent NUMBER(38, 18) COMMENT '%: ticker/24hr priceChangePercent; klines: of first open',
    high_24h NUMBER(38, 18) COMMENT 'quote asset: ticker/24hr highPrice; klines: highest high',
    low_24h NUMBER(38, 18) COMMENT 'quote asset: ticker/24hr lowPrice; klines: lowest low',
    base_volume_24h NUMBER(38, 18) COMMENT 'base asset: ticker/24hr volume; klines: sum',
    quote_volume_24h NUMBER(38, 18) COMMENT 'quote asset: ticker/24hr quoteVolume; klines: sum',
    weighted_average_price_24h NUMBER(38, 18) COMMENT 'quote asset: ticker/24hr weightedAvgPrice; klines: quote volume ÷ base volume',
    best_bid NUMBER(38, 18) COMMENT 'quote asset: depth, first bid',
    best_bid_quantity NUMBER(38, 18) COMMENT 'base asset: depth, first bid',
    best_ask NUMBER(38, 18) COMMENT 'quote asset: depth, first ask',
    best_ask_quantity NUMBER(38, 18) COMMENT 'base asset: depth, first ask',
    spread NUMBER(38, 18) COMMENT 'quote asset: best_ask − best_bid',
    spread_percent NUMBER(38, 18) COMMENT '%: spread ÷ middle of best_bid and best_ask × 100',
    last_trades_mean_price NUMBER(38, 18) COMMENT 'quote asset: trades: mean of the last 5 prices, not weighted',
    last_trades_volume NUMBER(38, 18) COMMENT 'base asset: trades: sum of the last 5 quantities',
    last_trades_count NUMBER(19, 0) COMMENT 'trades: trades: how many of the 5 there were',
    PRIMARY KEY (exchange, symbol, slot)
);

CREATE STAGE IF NOT EXISTS SNAPSHOTS_STAGE
