//! envoy-test
