"""
kafka-python as a worker: the commands of node/worker.ts on standard input, one line of JSON each on standard
output. Argument: the broker's address.
"""
import json
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from records import RecordDigest, RecordSet

IDLE_LIMIT_S = 5
ACKNOWLEDGEMENT_TIMEOUT_S = 30


class Worker:
    def __init__(self, bootstrap):
        self._bootstrap = bootstrap
        # One producer per setting for the life of the worker, so that it lives through a restart of the broker.
        self._producers = {}
        self._transactional = {}

    def create_topic(self, topic, partitions):
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            admin.create_topics([NewTopic(name=topic, num_partitions=int(partitions), replication_factor=1)])
        finally:
            admin.close()
        return {}

    def produce(self, topic, seed, shape, headers, partitions, base, codec, idempotent, **span):
        records = RecordSet(seed, shape, headers, int(partitions), int(base))
        producer = self._producer(codec, idempotent == "true")
        indices = range(int(span["from"]), int(span["to"]))
        acknowledgements = [
            producer.send(
                topic,
                key=records.key(index),
                value=records.value(index),
                headers=records.headers(index),
                partition=index % records.partitions,
                timestamp_ms=records.timestamp_ms(index),
            )
            for index in indices
        ]
        producer.flush(ACKNOWLEDGEMENT_TIMEOUT_S)
        wrong_offset = None
        for index, acknowledgement in zip(indices, acknowledgements):
            offset = acknowledgement.get(ACKNOWLEDGEMENT_TIMEOUT_S).offset
            expected = index // records.partitions
            if offset != expected and wrong_offset is None:
                wrong_offset = f"record {index}: {offset} instead of {expected}"
        return {"acknowledged": len(acknowledgements), "wrongOffset": wrong_offset}

    def consume(self, topic, partition, count, **start):
        count = int(count)
        digest = RecordDigest()
        assigned = TopicPartition(topic, int(partition))
        consumer = self._consumer()
        try:
            consumer.assign([assigned])
            consumer.seek(assigned, int(start["from"]))
            last_record_at = time.monotonic()
            while digest.count < count and time.monotonic() - last_record_at < IDLE_LIMIT_S:
                for record in consumer.poll(timeout_ms=500, max_records=count - digest.count).get(assigned, []):
                    last_record_at = time.monotonic()
                    digest.add(record.offset, record.key, record.value, record.headers, record.timestamp)
        finally:
            consumer.close()
        return digest.result()

    def offset_for_time(self, topic, partition, timestamp):
        assigned = TopicPartition(topic, int(partition))
        consumer = self._consumer()
        try:
            found = consumer.offsets_for_times({assigned: int(timestamp)})[assigned]
            return {"offset": -1 if found is None else found.offset}
        finally:
            consumer.close()

    def transact(self, topic, id, outcome, timeout, to, **span):
        if id not in self._transactional:
            producer = KafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                transactional_id=id,
                transaction_timeout_ms=int(timeout),
                max_block_ms=20_000,
            )
            producer.init_transactions()
            self._transactional[id] = producer
        producer = self._transactional[id]
        producer.begin_transaction()
        indices = range(int(span["from"]), int(to))
        acknowledgements = [
            producer.send(topic, value=f"{outcome} {index}".encode(), partition=0) for index in indices
        ]
        producer.flush(ACKNOWLEDGEMENT_TIMEOUT_S)
        for acknowledgement in acknowledgements:
            acknowledgement.get(ACKNOWLEDGEMENT_TIMEOUT_S)
        if outcome == "commit":
            producer.commit_transaction()
        elif outcome == "abort":
            producer.abort_transaction()
        return {}

    def close(self):
        for producer in self._transactional.values():
            producer.close(timeout=2)
        for producer in self._producers.values():
            producer.close(timeout=2)

    def _producer(self, codec, idempotent):
        setting = (codec, idempotent)
        if setting not in self._producers:
            self._producers[setting] = KafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                enable_idempotence=idempotent,
                compression_type=None if codec == "none" else codec,
                linger_ms=5,
                delivery_timeout_ms=30_000,
                request_timeout_ms=10_000,
            )
        return self._producers[setting]

    def _consumer(self):
        return KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )


def run(worker, line):
    name, *pairs = line.split()
    commands = {
        "create-topic": worker.create_topic,
        "produce": worker.produce,
        "consume": worker.consume,
        "offset-for-time": worker.offset_for_time,
        "transact": worker.transact,
    }
    return commands[name](**dict(pair.split("=", 1) for pair in pairs))


def main():
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        try:
            answer = run(worker, line)
        except Exception as error:  # the harness reports whatever the client raises
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    worker.close()


main()
