# The image of taxiflow; docs/aws.md says how to build, pin and run it.

# Node.js 22.14 or newer, which loads the SQLite that comes compiled. To pin it, add its digest: @sha256:…
FROM node:22-bookworm-slim AS base

FROM base AS package
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm pack --pack-destination /tmp

# The packed files with the dependencies of package-lock.json, in its versions. What only development needs goes from
# it, and better-sqlite3-12 with what would compile it, which is for an older Node.js. Of better-sqlite3, the code for
# this platform stays.
FROM base AS install
WORKDIR /opt/taxiflow
COPY --from=package /tmp/taxiflow-*.tgz /tmp/
RUN tar -xzf /tmp/taxiflow-*.tgz --strip-components=1 --no-same-owner
COPY --from=package /src/package-lock.json ./
RUN npm pkg delete devDependencies optionalDependencies.better-sqlite3-12 \
  && npm install --package-lock-only --ignore-scripts --no-audit --no-fund \
  && npm ci --ignore-scripts --no-audit --no-fund \
  && npm sbom --sbom-format spdx > /tmp/sbom.spdx.json \
  && rm -r node_modules/better-sqlite3/deps node_modules/better-sqlite3/src node_modules/better-sqlite3/binding.gyp \
  && find node_modules/better-sqlite3/prebuilds -type f ! -name "linux-$(node -p process.arch).node" -delete \
  && node -e "new (require('better-sqlite3'))(':memory:').close()"

FROM base
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="taxiflow" \
  org.opencontainers.image.description="Real-time stream processing of taxi trips" \
  org.opencontainers.image.source="https://github.com/taxiflow/taxiflow" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.licenses="Apache-2.0"

# The kernel drops a SIGTERM to PID 1 where a command has no handler of its own, so tini is PID 1. Package managers of
# Node.js are no part of what runs.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends tini=0.19.* \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/apt /var/log/dpkg.log \
    /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
    /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn-* \
  && groupadd --gid 10001 taxiflow \
  && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /data --shell /usr/sbin/nologin taxiflow \
  && mkdir /data \
  && chown 10001:10001 /data \
  && ln -s /opt/taxiflow/bin/taxiflow.js /usr/local/bin/taxiflow

COPY --from=install /opt/taxiflow /opt/taxiflow
COPY --from=install /tmp/sbom.spdx.json /usr/share/doc/taxiflow/sbom.spdx.json

ENV NODE_ENV=production TAXIFLOW_DATA_DIR=/data
WORKDIR /data
# A volume, also a bind mount of Fargate, takes its owner and mode from these folders. All else can be read-only.
VOLUME ["/data", "/tmp"]
USER 10001:10001

HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["taxiflow", "status", "--max-age", "2m"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "taxiflow"]
CMD ["--help"]
