"""A short run of the fuzzer of packets, session headers and streams; longer ones are made by hand."""

from tests.fuzz import packets


def test_what_arrives_is_read_or_refused():
    counts = packets.run(400, seed=0)
    assert sum(count for name, count in counts.items() if name.startswith("packet")) >= 380
    # Damage of every kind is met by both outcomes.
    for outcome in ("packet: refused", "packet: decoded", "stream: refused", "stream: other packets"):
        assert counts[outcome] > 20
    assert counts["session header: refused"] > 380
