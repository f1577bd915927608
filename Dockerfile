# One image for all services of ours. The old builder must do: no RUN --mount, no heredocs, no COPY --chmod.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Wheels only, each held against its hash: nothing is compiled, so nothing of a compiler is needed anywhere.
COPY requirements/services.txt /build/services.txt
RUN python -m venv /opt/cryptostream \
 && /opt/cryptostream/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r /build/services.txt \
 && /opt/cryptostream/bin/python -m pip uninstall --yes --quiet pip \
 && find /opt/cryptostream -type d \( -name tests -o -name test \) -prune -exec rm -rf '{}' +

FROM ${PYTHON_IMAGE}
# 1000, as influxd's and Kafka's users: volumes and the user's own files need no change of owner.
# A new named volume takes the owner of the folder it is mounted on.
RUN groupadd --gid 1000 cryptostream \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cryptostream \
 && mkdir -p /run/cryptostream-secrets/operator /run/cryptostream-secrets/writer /run/cryptostream-secrets/grafana \
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
COPY cryptostream/ /app/cryptostream/
RUN python -m compileall -q /app
WORKDIR /var/lib/cryptostream
USER 1000:1000
CMD ["cryptostream", "--help"]
