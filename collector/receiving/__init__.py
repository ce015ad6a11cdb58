"""From a connection to what is acknowledged: OTLP over HTTP and gRPC, within bounds, for those who may."""
