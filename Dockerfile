# The image of all services of the stream (target services), and that of the snapshot pipeline (target snapshots).
# The old builder must do: no RUN --mount, no heredocs, no COPY --chmod; it builds every stage up to its target.
# 3.11 to 3.13 give the same indicators, bit for bit: docs/decisions/python-versions.md.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254
ARG NODE_IMAGE=node:20-slim

FROM ${PYTHON_IMAGE} AS build
# Wheels only, each held against its hash: nothing is compiled, so nothing of a compiler is needed anywhere.
COPY requirements/services.txt /build/services.txt
RUN python -m venv /opt/cryptostream \
 && /opt/cryptostream/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r /build/services.txt \
 && /opt/cryptostream/bin/python -m pip uninstall --yes --quiet pip \
 && find /opt/cryptostream -type d \( -name tests -o -name test \) -prune -exec rm -rf '{}' +

# The page as plain files: nothing of Node is in the image.
FROM ${NODE_IMAGE} AS page
WORKDIR /build/web
COPY web/ /build/web/
RUN npm ci --ignore-scripts --no-audit --no-fund && NEXT_TELEMETRY_DISABLED=1 npm run build

FROM ${PYTHON_IMAGE} AS services
# 1000, as influxd's and Kafka's users: volumes and the user's own files need no change of owner.
# A new named volume takes the owner of the folder it is mounted on.
RUN groupadd --gid 1000 cryptostream \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cryptostream \
 && mkdir -p /run/cryptostream-secrets/operator /run/cryptostream-secrets/writer /run/cryptostream-secrets/grafana \
      /run/cryptostream-secrets/api \
      /run/cryptostream-secrets/prefect /run/cryptostream-secrets/prefect-api \
      /var/lib/cryptostream/slots /var/lib/cryptostream/c3 /backup \
 && chown -R 1000:1000 /run/cryptostream-secrets /var/lib/cryptostream /backup
COPY --from=build /opt/cryptostream /opt/cryptostream
ENV PATH=/opt/cryptostream/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1
# What changes often comes last: a change of code copies these folders again and installs nothing.
COPY docker/bin/ /usr/local/bin/
COPY kafka/c3/ /usr/share/cryptostream/c3/
COPY influxdb/provision.toml /usr/share/cryptostream/influxdb/
COPY influxdb/tasks/ /usr/share/cryptostream/influxdb/tasks/
COPY shared/ /app/shared/
COPY producers/ /app/producers/
COPY consumers/ /app/consumers/
COPY simulator/ /app/simulator/
COPY api/ /app/api/
COPY cryptostream/ /app/cryptostream/
# `doctor` checks the settings of the snapshots too.
COPY pipelines/ /app/pipelines/
COPY influxdb/__init__.py /app/influxdb/
COPY influxdb/provision/ /app/influxdb/provision/
COPY --from=page /build/web/out/ /app/web/out/
RUN python -m compileall -q /app
WORKDIR /var/lib/cryptostream
USER 1000:1000
CMD ["cryptostream", "--help"]

# Prefect and what its flow needs, with the versions that work together (docs/decisions/snapshot-versions.md).
FROM ${PYTHON_IMAGE} AS build-snapshots
COPY requirements/snapshots.txt /build/snapshots.txt
# The lock is whole, hence --no-deps: pip would look for a newer SQLAlchemy than the lock's.
RUN python -m venv /opt/cryptostream \
 && /opt/cryptostream/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --no-deps --require-hashes --only-binary :all: -r /build/snapshots.txt \
 && /opt/cryptostream/bin/python -m pip uninstall --yes --quiet pip

FROM ${PYTHON_IMAGE} AS snapshots
RUN groupadd --gid 1000 cryptostream \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cryptostream \
 && mkdir -p /data/snapshots \
 && chown -R 1000:1000 /data
COPY --from=build-snapshots /opt/cryptostream /opt/cryptostream
# Prefect writes below its home even where a server keeps everything; nothing of it is needed again.
ENV PATH=/opt/cryptostream/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PREFECT_HOME=/tmp/prefect \
    DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false
COPY docker/bin/ /usr/local/bin/
# At the path that deployments name: the worker runs the flow from here.
COPY shared/ /app/shared/
COPY producers/ /app/producers/
COPY consumers/ /app/consumers/
COPY simulator/ /app/simulator/
COPY cryptostream/ /app/cryptostream/
COPY pipelines/ /app/pipelines/
RUN python -m compileall -q /app
WORKDIR /app
USER 1000:1000
CMD ["cryptostream", "snapshots", "--help"]
