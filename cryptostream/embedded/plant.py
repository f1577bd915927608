"""The parts of a run, started in order: source, broker, store, topics, services, and what listens to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import Producer

from consumers.stores.factory import open_reader
from cryptostream.commands.topics import ensure_topics
from cryptostream.embedded.bearings import Bearings, read_bearings
from cryptostream.embedded.broker import Broker, choose_broker, start_broker
from cryptostream.embedded.follower import Follower
from cryptostream.embedded.market import MarketWatch
from cryptostream.embedded.options import RunOptions
from cryptostream.embedded.services import CONSUMERS, PRODUCERS, SIMULATOR, Wiring, replay_command, simulator_command
from cryptostream.embedded.simulator_link import SimulatorLink
from cryptostream.embedded.snapshot import InstrumentView, LedgerRow, ServiceView
from cryptostream.embedded.source import SourceChoice, SourceKind
from cryptostream.embedded.store import RunStore, start_store
from cryptostream.embedded.supervisor import Supervisor
from cryptostream.embedded.workspace import Workspace
from cryptostream.engines.fetch import EngineUnavailable, fetch_kafka, java
from shared.errors import BrokerUnavailable, ExchangeUnavailable, UnknownSymbol
from shared.kafka import producer_config
from shared.messages import encode, message_key
from shared.settings import Settings, load_settings
from shared.topics import LEDGER
