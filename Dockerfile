# The image of taxiflow: docs/aws.md, "Image".

# Node.js 22.14 or newer loads the SQLite that comes compiled. To pin it: --build-arg NODE_IMAGE=node@sha256:…
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS package
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm pack --pack-destination /tmp

# The packed files, with the dependencies that package-lock.json names. better-sqlite3-12 is for older Node.js: it goes
# from the lock file, and with it all that compiles it.
FROM ${NODE_IMAGE} AS install
WORKDIR /opt/taxiflow
COPY --from=package /tmp/taxiflow-*.tgz /tmp/
RUN tar -xzf /tmp/taxiflow-*.tgz --strip-components=1 --no-same-owner
COPY --from=package /src/package-lock.json ./
RUN npm uninstall --package-lock-only --ignore-scripts --no-audit --no-fund better-sqlite3-12 \
  && npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && npm run --silent sbom > /tmp/sbom.spdx.json \
  && node bin/taxiflow.js status --help > /dev/null

FROM ${NODE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="taxiflow" \
  org.opencontainers.image.description="Real-time stream processing of taxi trips" \
  org.opencontainers.image.source="https://github.com/taxiflow/taxiflow" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.licenses="Apache-2.0"

# Node.js as PID 1 would not end by SIGTERM where a command has no handler of its own; tini passes the default on.
# Package managers are no part of what runs.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends tini=0.19.* \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
    /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn-* /root/.npm \
  && groupadd --gid 10001 taxiflow \
  && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin taxiflow \
  && mkdir /data \
  && chown 10001:10001 /data \
  && ln -s /opt/taxiflow/bin/taxiflow.js /usr/local/bin/taxiflow

COPY --from=install /tmp/sbom.spdx.json /usr/share/doc/taxiflow/sbom.spdx.json
COPY --from=install /opt/taxiflow /opt/taxiflow

# A volume takes owner and mode from here, also on Fargate, where root stays read-only.
VOLUME ["/data", "/tmp"]
WORKDIR /data
ENV NODE_ENV=production \
  TAXIFLOW_DATA_DIR=/data
USER 10001:10001

HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["taxiflow", "status", "--max-age", "2m"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "taxiflow"]
CMD ["--help"]
