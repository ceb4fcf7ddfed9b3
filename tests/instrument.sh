#!/bin/sh
# instrument.sh RUSTC ARGUMENT...: compiles a crate of this workspace for the fuzzers, which then see which code an input reaches.
# These are the flags of cargo-fuzz without a sanitizer: a stable compiler knows them. Their dependencies stay as they are.
exec "$@" --cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C codegen-units=1 -C debug-assertions -C overflow-checks
