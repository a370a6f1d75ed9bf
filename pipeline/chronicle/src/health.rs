//! Liveness and readiness over HTTP: being written.
