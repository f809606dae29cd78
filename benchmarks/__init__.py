"""Speed benchmarks: ours, the peer's and the machine's own rate."""
