import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Copies a topic to another, exactly once: consumes, transforms and produces in transactions, and aborts every
 * fifth on purpose before it does the same work again. The lines it writes are those of exactly-once/worker.ts.
 * Arguments: the broker's address, input topic, output topic, group, transactional id, which is also the instance
 * id.
 */
public final class ExactlyOnceWorker {
    private static final Duration POLL = Duration.ofMillis(100);
    private static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(2);
    private static final int ABORT_EVERY = 5;

    private final String[] args;
    private volatile boolean stopping;
    private int transactions;

    private ExactlyOnceWorker(String[] args) {
        this.args = args;
    }

    public static void main(String[] args) throws Exception {
        ExactlyOnceWorker worker = new ExactlyOnceWorker(args);
        Thread untilInputEnds = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException closed) {
                // A broken pipe is an end as well.
            }
            worker.stopping = true;
        });
        untilInputEnds.setDaemon(true);
        untilInputEnds.start();
        while (!worker.stopping) {
            worker.copy();
        }
    }

    /** Until the end, or until the first error: a new producer and consumer then start from what was committed. */
    private void copy() {
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(Map.of(
            "bootstrap.servers", args[0],
            "transactional.id", args[4],
            "transaction.timeout.ms", "20000",
            "linger.ms", "0",
            "max.block.ms", "20000",
            "request.timeout.ms", "5000",
            "delivery.timeout.ms", "20000"), new ByteArraySerializer(), new ByteArraySerializer());
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(Map.of(
            "bootstrap.servers", args[0],
            "group.id", args[3],
            "group.instance.id", args[4],
            "enable.auto.commit", "false",
            "auto.offset.reset", "earliest",
            "isolation.level", "read_committed",
            "session.timeout.ms", "30000",
            "heartbeat.interval.ms", "500",
            "max.poll.records", "100"), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        try {
            producer.initTransactions();
            consumer.subscribe(List.of(args[1]));
            while (!stopping) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
                if (!records.isEmpty()) {
                    copy(records, producer, consumer);
                }
            }
        } catch (KafkaException error) {
            System.err.println("starting again: " + error);
        } finally {
            consumer.close(org.apache.kafka.clients.consumer.CloseOptions.timeout(CLOSE_TIMEOUT));
            producer.close(CLOSE_TIMEOUT);
        }
    }

    private void copy(ConsumerRecords<byte[], byte[]> records, KafkaProducer<byte[], byte[]> producer,
            KafkaConsumer<byte[], byte[]> consumer) {
        transactions++;
        if (transactions % ABORT_EVERY == 0) {
            producer.beginTransaction();
            send(records, producer, "aborted");
            producer.flush();
            producer.abortTransaction();
            System.out.println("aborted " + records.count());
        }
        producer.beginTransaction();
        send(records, producer, "copied");
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (TopicPartition partition : records.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> fetched = records.records(partition);
            offsets.put(partition, new OffsetAndMetadata(fetched.get(fetched.size() - 1).offset() + 1));
        }
        producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
        producer.commitTransaction();
        System.out.println("committed " + records.count());
    }

    private void send(ConsumerRecords<byte[], byte[]> records, KafkaProducer<byte[], byte[]> producer, String word) {
        for (ConsumerRecord<byte[], byte[]> record : records) {
            String source = word + " " + record.partition() + " " + record.offset() + " ";
            byte[] value = (source + new String(record.value(), StandardCharsets.UTF_8)).getBytes(StandardCharsets.UTF_8);
            producer.send(new ProducerRecord<>(args[2], record.partition(), record.key(), value));
        }
    }
}
