"""
kafka-python as a member of a group that tells what it owns and processes: the lines of groups/group-log.ts. It
leaves politely when standard input ends. Arguments: the broker's address, topic, group, variant, session timeout
in ms, instance id or "-".

A join that is not over when the poll() that began it times out may be forgotten by the client: what the coordinator
assigned is then not taken up, and no heartbeats are sent. Polls here are longer than a join, and end early by a
signal. Listeners run on the client's I/O thread, where it cannot commit.
"""
import signal
import sys
import threading
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import CommitFailedError, IllegalStateError, KafkaError
from kafka.structs import OffsetAndMetadata

bootstrap, topic, group, variant, session_timeout_ms, instance_id = sys.argv[1:7]
stopping = threading.Event()
POLL_MS = 60_000


def tell(event, rest=""):
    print(event, time.monotonic_ns() // 1000, rest, flush=True)


def numbers(partitions):
    return ",".join(str(partition.partition) for partition in sorted(partitions))


class Listener(ConsumerRebalanceListener):
    def __init__(self, member):
        self._member = member

    def on_partitions_assigned(self, assigned):
        tell("assign", numbers(assigned))

    def on_partitions_revoked(self, revoked):
        for partition in revoked:
            self._member.uncommitted.pop(partition, None)
        tell("revoke", numbers(revoked))

    def on_partitions_lost(self, lost):
        for partition in lost:
            self._member.uncommitted.pop(partition, None)
        tell("lost", numbers(lost))


class Member:
    def __init__(self):
        self.uncommitted = {}
        self._interruptible = False
        strategy = CooperativeStickyAssignor if variant == "cooperative" else RangePartitionAssignor
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            group_instance_id=None if instance_id == "-" else instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(session_timeout_ms),
            heartbeat_interval_ms=500,
            # Longer waits between attempts would outlast the session when the broker restarts.
            reconnect_backoff_max_ms=1_000,
            partition_assignment_strategy=[strategy],
        )

    def run(self):
        self._consumer.subscribe([topic], listener=Listener(self))
        signal.signal(signal.SIGINT, self._interrupt)
        threading.Thread(target=interrupt_at_end_of_input, daemon=True).start()
        while not stopping.is_set():
            try:
                self._interruptible = True
                if stopping.is_set():
                    break
                polled = self._consumer.poll(timeout_ms=POLL_MS)
                self._interruptible = False
            except KeyboardInterrupt:
                break
            for partition, records in polled.items():
                first = last = records[0].offset
                for record in records:
                    if record.offset > last + 1:
                        tell("process", f"{partition.partition} {first} {last}")
                        first = record.offset
                    last = record.offset
                tell("process", f"{partition.partition} {first} {last}")
                self.uncommitted[partition] = last + 1
            self.commit()
        self._consumer.close()
        tell("closed")

    def _interrupt(self, _signal, _frame):
        stopping.set()
        if self._interruptible:
            self._interruptible = False
            raise KeyboardInterrupt

    def commit(self):
        offsets = dict(self.uncommitted)
        if not offsets:
            return
        try:
            self._consumer.commit({partition: OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()})
        except (CommitFailedError, IllegalStateError):
            self.uncommitted.clear()
            return
        except KafkaError as error:  # brought again by the next commit
            print(f"commit: {error!r}", file=sys.stderr)
            return
        for partition, offset in offsets.items():
            tell("commit", f"{partition.partition} {offset}")
            if self.uncommitted.get(partition) == offset:
                del self.uncommitted[partition]


def interrupt_at_end_of_input():
    sys.stdin.read()
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


Member().run()
