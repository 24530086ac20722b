"""The activity that the samples of a window show."""

from supervise.core.activity_window import SAMPLES_KEPT, SampleHistory
from supervise.core.events import Activity, ProcessCpu, Sample
from supervise.core.policy import Evidence, Policy

NEVER = float("-inf")


def seen(*samples: Sample, on: set[Evidence], since: float = 0.0, last_byte: float = NEVER) -> Activity | None:
    ring = SampleHistory(Policy(extend_on=frozenset(on)))
    for one in samples:
        ring.add(one)
    return ring.activity(since, last_byte)


def test_no_samples_show_no_activity() -> None:
    assert seen(on={"cpu", "socket", "connection", "output", "io"}) is None


def test_the_first_sample_is_only_a_baseline() -> None:
    assert seen(Sample(1, cpu=99, sockets_moved=2, socket_bytes=99, io_bytes=99), on={"cpu", "socket", "io"}) is None


def test_the_spawn_is_the_baseline_of_the_first_sample() -> None:
    ring = SampleHistory(Policy(extend_on=frozenset({"cpu"})))
    ring.add(Sample(1.0, cpu=0.5))
    activity = ring.activity(0.9, NEVER, 0.5)
    assert activity is not None
    assert activity.cpu_percent == 100
    ring.add(Sample(1.2, cpu=0.5))
    assert ring.activity(0.9, NEVER, 0.5) is None, "it is known to be idle by now"
    assert ring.activity(1.1, NEVER, 0.5) is None


def test_cpu_is_the_change_over_the_time_of_the_samples() -> None:
    activity = seen(Sample(1, cpu=10.0), Sample(2, cpu=10.5), Sample(5, cpu=12.0), on={"cpu"})
    assert activity
    assert (activity.counts, activity.cpu_percent) == ({"cpu"}, 50.0)


def test_cpu_at_the_threshold_counts_and_below_it_does_not() -> None:
    assert seen(Sample(0, cpu=0.0), Sample(10, cpu=1.0), on={"cpu"})
    assert seen(Sample(0, cpu=0.0), Sample(10, cpu=0.99), on={"cpu"}) is None


def test_a_total_that_falls_is_no_activity_and_hides_none() -> None:
    assert seen(Sample(0, cpu=50.0), Sample(1, cpu=1.0), on={"cpu"}) is None
    activity = seen(Sample(0, cpu=50.0), Sample(1, cpu=1.0), Sample(2, cpu=2.0), on={"cpu"})
    assert activity
    assert activity.cpu_percent == 50.0


def test_samples_at_the_same_time_are_no_activity() -> None:
    assert seen(Sample(1, cpu=0.0), Sample(1, cpu=5.0), on={"cpu"}) is None


def test_samples_from_before_the_window_do_not_count() -> None:
    busy_then = (Sample(0, cpu=0.0), Sample(5, cpu=5.0), Sample(10, cpu=5.0))
    assert seen(*busy_then, on={"cpu"}, since=0)
    assert seen(*busy_then, on={"cpu"}, since=5) is None
    assert seen(*busy_then, on={"cpu"}, since=6) is None


def test_the_busiest_is_named_where_it_used_at_least_half() -> None:
    def by(*times: float) -> tuple[ProcessCpu, ...]:
        return tuple(ProcessCpu(100 + number, 1, "x", time) for number, time in enumerate(times))

    def busiest(before: tuple[ProcessCpu, ...], after: tuple[ProcessCpu, ...], used: float) -> int | None:
        activity = seen(Sample(0, busy=before), Sample(1, cpu=used, busy=after), on={"cpu"})
        assert activity
        return activity.busiest.pid if activity.busiest else None

    assert busiest(by(7, 0), by(7.25, 0.75), used=1.0) == 101
    assert busiest(by(7, 0), by(7.25, 0.5), used=1.0) == 101
    assert busiest(by(7, 0), by(7.25, 0.25), used=1.0) is None
    assert busiest(by(7), by(7, 0.75), used=1.0) == 101
    assert busiest((), (), used=1.0) is None


def test_a_reused_pid_is_another_process() -> None:
    before, after = ProcessCpu(100, 1, "old", 0.0), ProcessCpu(100, 2, "new", 0.4)
    activity = seen(Sample(0, busy=(before,)), Sample(1, cpu=0.5, busy=(after,)), on={"cpu"})
    assert activity
    assert activity.busiest == after
    older = ProcessCpu(100, 1, "old", 50.0)
    activity = seen(Sample(0, busy=(older,)), Sample(1, cpu=0.5, busy=(after,)), on={"cpu"})
    assert activity
    assert activity.busiest == after


def test_bytes_on_sockets_are_summed_after_the_baseline() -> None:
    activity = seen(
        Sample(0, sockets_moved=9, socket_bytes=9000),
        Sample(1, sockets_moved=2, socket_bytes=100),
        Sample(2, sockets_moved=1, socket_bytes=50),
        Sample(3),
        on={"socket"},
    )
    assert activity == Activity(frozenset({"socket"}), sockets=2, socket_bytes=150)


def test_connections_are_those_of_the_last_sample() -> None:
    assert seen(Sample(0, connections=1), on={"connection"})
    assert seen(Sample(0, connections=1), Sample(1, connections=0), on={"connection"}) is None


def test_bytes_read_and_written_count_as_io() -> None:
    assert seen(Sample(0), Sample(1, io_bytes=1), on={"io"})
    assert seen(Sample(0, io_bytes=1), Sample(1), on={"io"}) is None


def test_output_within_the_window_needs_no_sample() -> None:
    assert seen(on={"output"}, since=5, last_byte=5) == Activity(frozenset({"output"}))
    assert seen(on={"output"}, since=5, last_byte=4.5) is None


def test_only_the_kinds_of_extend_on_count() -> None:
    both = (Sample(0), Sample(1, cpu=1.0, sockets_moved=1, socket_bytes=7, connections=3, io_bytes=9))
    assert seen(*both, on={"output"}) is None
    activity = seen(*both, on={"socket", "cpu"}, last_byte=1)
    assert activity
    assert activity.counts == {"socket", "cpu"}
    assert (activity.connections, activity.io_bytes) == (3, 9)


def test_samples_are_bounded_and_shift() -> None:
    ring = SampleHistory(Policy())
    for number in range(10 * SAMPLES_KEPT):
        ring.add(Sample(float(number), cpu=float(number)))
    ring.shift(1000.0)
    last = 10 * SAMPLES_KEPT - 1 + 1000.0
    activity = ring.activity(0.0, NEVER)
    assert activity
    assert activity.cpu_percent == 100.0
    assert ring.activity(last - SAMPLES_KEPT + 1, NEVER) == activity
    assert ring.activity(last, NEVER) is None
