"""A real Apache Kafka broker on this machine: one node, KRaft, loopback only (STACK.md §4.1)."""

from __future__ import annotations

import base64
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException

from cryptostream.engines.fetch import Java, Say, fetch_kafka, java
from cryptostream.processes.server import EngineUnavailable, LocalServer, ServerProcess, free_port
from shared.kafka import KAFKA, admin_config

# One partition for the offsets, since there is one machine; no rebalance delay, so that the first consumer
# joins at once instead of after 3 s. Only `cryptostream topics` creates topics.
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={log_dir}
auto.create.topics.enable=false
num.partitions=6
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=33554432
"""
_LOG4J: Final = (
    '<Configuration><Appenders><Console name="c"><PatternLayout pattern="%d %p %m (%c)%n"/></Console>'
    '</Appenders><Loggers><Root level="WARN"><AppenderRef ref="c"/></Root>'
    # A few lines a rebalance: who joined a group, who left it by itself and who was given up.
    '<Logger name="org.apache.kafka.coordinator.group" level="INFO"/></Loggers></Configuration>'
)


class KafkaServer(LocalServer):
    """A running broker."""

    def __init__(
        self, directory: Path, port: int | None = None, *, heap_mb: int = 512, archive: Path | None = None
    ) -> None:
        """Fetch the jars if need be, format the directory if it is new, and start.

        Args:
            archive: where the JVM archives the classes that it has loaded, when it is stopped.

        Raises:
            EngineUnavailable: no Java, no jars, or the broker does not come up.
        """
        self.heap_mb = heap_mb
        self._archive = archive
        super().__init__(directory, port)

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log_dir(self) -> Path:
        """The directory of its partitions, a folder for each."""
        return self.directory / "log"

    def _start(self) -> ServerProcess:
        libs, jvm = fetch_kafka(), java()
        log_dir = self.log_dir
        self.directory.mkdir(parents=True, exist_ok=True)
        properties = self.directory / "server.properties"
        properties.write_text(
            _PROPERTIES.format(port=self.port, controller_port=free_port(), log_dir=log_dir), encoding="utf-8"
        )
        log4j = self.directory / "log4j2.xml"
        log4j.write_text(_LOG4J, encoding="utf-8")
        program = [jvm.program, *_loaded_from(_class_archive(libs, jvm)), "-cp", f"{libs}/*"]
        if not (log_dir / "meta.properties").exists():
            _format(program, properties)
        return ServerProcess(
            "Kafka",
            [
                *program,
                f"-Xmx{self.heap_mb}m",
                *([] if self._archive is None else [f"-XX:ArchiveClassesAtExit={self._archive}"]),
                "-Djava.awt.headless=true",
                f"-Dlog4j2.configurationFile={log4j}",
                "kafka.Kafka",
                str(properties),
            ],
            self.directory / "kafka.log",
            self._answers,
            # After a kill it recovers all its partitions, on a busy machine for more than a minute.
            deadline_s=180.0,
        )

    def _answers(self) -> bool:
        client = KAFKA.admin(admin_config(self.bootstrap_servers))
        try:
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False


def prepare_kafka(say: Say = print) -> Path:
    """Directory of Kafka's jars, fetched if need be, beside which Java finds their classes as it loads them.

    With these a broker starts in half of the time; each version of Java needs its own.

    Raises:
        EngineUnavailable: no Java or no jars.
    """
    libs, jvm = fetch_kafka(say), java()
    archive = _class_archive(libs, jvm)
    if archive.exists():
        return libs
    say("archiving Kafka's classes (50 MB, once for a version of Java)")
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix="new-") as new:
            written = Path(new) / archive.name
            KafkaServer(Path(new) / "data", archive=written).stop()
            # Written beside the target and renamed, so that the target is always whole.
            written.rename(archive)
    except (EngineUnavailable, OSError) as error:
        say(f"they could not be archived, and brokers start without: {error}")
    return libs


def _class_archive(libs: Path, jvm: Java) -> Path:
    return libs.parent / f"classes-{jvm.version}.jsa"


def _loaded_from(archive: Path) -> list[str]:
    return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []


def _format(program: list[str], properties: Path) -> None:
    tool = [*program, "kafka.tools.StorageTool"]
    done = subprocess.run(
        [*tool, "format", "-t", _cluster_id(), "-c", str(properties)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise EngineUnavailable(f"Kafka's data directory cannot be formatted: {done.stderr.strip()[-300:]}")


def _cluster_id() -> str:
    """An id like those of Kafka's tool, without its JVM: 16 bytes in base64, without a leading minus sign."""
    first, *rest = uuid.uuid4().bytes
    return base64.urlsafe_b64encode(bytes((first & 0x7F, *rest))).decode().rstrip("=")
