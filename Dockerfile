# Two targets: `bot`, the service, and `runner`, which is also the image that candidates run in.
#
#     docker build --target bot -t nightlab-bot .
#     docker build --target runner -t nightlab-runner .
#
# The bases are arguments, so that a GPU's image (any with Python 3.11 or newer), a mirror or a digest can be named. So is
# the index of torch, whose CPU build is a tenth in size: see pytorch.org's "Get started" page for its address.
ARG BOT_BASE=python:3.11-slim
ARG RUNNER_BASE=python:3.11-slim

FROM ${BOT_BASE} AS bot
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 nightlab
WORKDIR /opt/nightlab
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY runner runner
RUN python3 -m pip install --no-cache-dir .
USER nightlab
WORKDIR /home/nightlab
ENTRYPOINT ["nightlab"]
CMD ["serve"]

FROM ${RUNNER_BASE} AS runner
ARG TORCH_INDEX=
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
# First what is large and rarely changes.
RUN python3 -m pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0
WORKDIR /opt/nightlab
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY runner runner
# Bytecode is made now: candidates see a read-only root, where no import could keep it.
RUN python3 -m pip install --no-cache-dir --compile '.[runner]'
ENTRYPOINT []
CMD ["python3", "-m", "runner", "--describe"]
