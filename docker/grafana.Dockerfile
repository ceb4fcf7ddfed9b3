# Grafana with the data source and its dashboards. From the checkout's root: docker build -f docker/grafana.Dockerfile .
#
# To pin bases by digest: --build-arg GRAFANA_IMAGE=grafana/grafana:12.3.0@sha256:... and so on (docker buildx imagetools inspect IMAGE)
ARG GRAFANA_IMAGE=grafana/grafana:12.3.0
ARG NODE_IMAGE=node:20-bookworm
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${NODE_IMAGE} AS front
WORKDIR /src/grafana-plugin
COPY grafana-plugin/package.json grafana-plugin/package-lock.json grafana-plugin/.npmrc ./
RUN npm install --no-save --no-audit --no-fund --loglevel=error
COPY CHANGELOG.md Cargo.toml LICENSE /src/
COPY grafana-plugin ./
RUN npm run --silent build

# Static, for Grafana's image has another C library than the one it is built in.
FROM ${RUST_IMAGE} AS backend
RUN apt-get update \
    && apt-get install -y --no-install-recommends musl-tools \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY kpi-core kpi-core
COPY pg_iot_kpi pg_iot_kpi
COPY connection connection
COPY collector collector
COPY fuzz fuzz
COPY tools tools
COPY tests tests
COPY grafana-plugin/backend grafana-plugin/backend
RUN target="$(uname -m)-unknown-linux-musl" \
    && case $target in x86_64-*) platform=linux_amd64 ;; *) platform=linux_arm64 ;; esac \
    && RUSTFLAGS="--remap-path-prefix=/usr/local/cargo=/cargo" cargo build --release --locked --package iot-kpi-grafana --bin gpx_iot_kpi --target "$target" \
    && install -D -m 755 "target/$target/release/gpx_iot_kpi" "/image/gpx_iot_kpi_$platform" \
    && strip "/image/gpx_iot_kpi_$platform"

FROM ${GRAFANA_IMAGE}
# Outside /var/lib/grafana, over which a volume is laid.
ENV GF_PATHS_PLUGINS=/usr/share/grafana-plugins GF_PLUGINS_ALLOW_LOADING_UNSIGNED_PLUGINS=iotkpi-postgres-datasource
ENV IOT_KPI_DASHBOARDS=/usr/share/grafana-plugins/iotkpi-postgres-datasource/dashboards
COPY --from=front /src/grafana-plugin/dist/ /usr/share/grafana-plugins/iotkpi-postgres-datasource/
COPY --from=backend /image/ /usr/share/grafana-plugins/iotkpi-postgres-datasource/
COPY grafana-plugin/provisioning/datasource.yaml /etc/grafana/provisioning/datasources/iot-kpi.yaml
COPY grafana-plugin/provisioning/dashboards.yaml /etc/grafana/provisioning/dashboards/iot-kpi.yaml
USER grafana
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 CMD ["wget", "--quiet", "--tries=1", "--output-document=/dev/null", "http://127.0.0.1:3000/api/health"]
