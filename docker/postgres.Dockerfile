# PostgreSQL with pg_iot_kpi. From the checkout's root: docker build -f docker/postgres.Dockerfile .
#
# Bases are pinned by tag. To pin what a tag is today, ask for its digest (`docker buildx imagetools inspect postgres:18-bookworm`) and
# give it: --build-arg POSTGRES_IMAGE=postgres:18-bookworm@sha256:...
ARG POSTGRES=18
ARG POSTGRES_IMAGE=postgres:${POSTGRES}-bookworm
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS rust

# Built in the image it runs in: the same PostgreSQL, the same C library.
FROM ${POSTGRES_IMAGE} AS build
ARG POSTGRES
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates gcc git libc6-dev libclang-dev make pkg-config postgresql-server-dev-${POSTGRES}
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV PGRX_HOME=/pgrx CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
# pgrx formats what it makes. The tool is none of the product: a debug build of it takes half the time.
RUN rustup component add rustfmt \
    && cargo install cargo-pgrx --version =0.18.1 --locked --debug --root /usr/local
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
COPY sql sql
RUN mkdir -p /pgrx \
    && printf '[configs]\npg%s = "/usr/lib/postgresql/%s/bin/pg_config"\n' ${POSTGRES} ${POSTGRES} > /pgrx/config.toml \
    && cd pg_iot_kpi \
    && cargo pgrx package --pg-config /usr/lib/postgresql/${POSTGRES}/bin/pg_config --no-default-features --features pg${POSTGRES} --out-dir /built \
    && strip --strip-unneeded /built/usr/lib/postgresql/${POSTGRES}/lib/pg_iot_kpi.so

FROM ${POSTGRES_IMAGE}
ARG POSTGRES
COPY --from=build /built/usr/lib/postgresql/${POSTGRES}/lib/pg_iot_kpi.so /usr/lib/postgresql/${POSTGRES}/lib/
COPY --from=build /built/usr/share/postgresql/${POSTGRES}/extension/ /usr/share/postgresql/${POSTGRES}/extension/
COPY docker/initdb/ /docker-entrypoint-initdb.d/
USER postgres
# Over TCP: while the first start still sets the database up, its server listens on the socket alone.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 CMD ["pg_isready", "--host=127.0.0.1", "--quiet"]
