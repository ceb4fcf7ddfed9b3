# The collector, one static program and nothing else. From the checkout's root: docker build -f docker/collector.Dockerfile .
#
# To pin the base by digest: --build-arg RUST_IMAGE=rust:1.95-bookworm@sha256:... (docker buildx imagetools inspect rust:1.95-bookworm)
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates musl-tools \
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
    && RUSTFLAGS="--remap-path-prefix=/usr/local/cargo=/cargo" cargo build --release --locked --package iot-kpi-collector --target "$target" \
    && install -D -m 755 "target/$target/release/iot-kpi-collector" /image/usr/bin/iot-kpi-collector \
    && strip /image/usr/bin/iot-kpi-collector \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && install -d -m 700 -o 10001 -g 10001 /image/var/lib/iot-kpi-collector

FROM scratch
COPY --from=build /image/ /
USER 10001:10001
ENV IOT_KPI_INSTANCE_DIR=/var/lib/iot-kpi-collector/places XDG_STATE_HOME=/var/lib IOT_KPI_METRICS_LISTEN=127.0.0.1:9187
VOLUME /var/lib/iot-kpi-collector
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/bin/iot-kpi-collector", "health"]
ENTRYPOINT ["/usr/bin/iot-kpi-collector"]
CMD ["simulate"]
