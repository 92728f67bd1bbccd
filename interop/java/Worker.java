import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client as a worker: the commands of node/worker.ts on standard input, one line of JSON each on
 * standard output. Argument: the broker's address.
 */
public final class Worker {
    private static final Duration IDLE_LIMIT = Duration.ofSeconds(5);

    private final String bootstrap;
    private final Admin admin;
    /** One producer per setting for the life of the worker, so that it lives through a restart of the broker. */
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
    private final Map<String, KafkaProducer<byte[], byte[]>> transactional = new HashMap<>();

    private Worker(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] args) throws Exception {
        Worker worker = new Worker(args[0]);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String answer;
            try {
                answer = worker.run(line);
            } catch (Exception error) {
                answer = "{\"error\":\"" + escape(error.toString()) + "\"}";
            }
            System.out.println(answer);
        }
        worker.transactional.values().forEach(producer -> producer.close(Duration.ofSeconds(2)));
        worker.producers.values().forEach(producer -> producer.close(Duration.ofSeconds(2)));
        worker.admin.close(Duration.ofSeconds(2));
    }

    private static String escape(String text) {
        return text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\s+", " ");
    }

    private String run(String line) throws Exception {
        String[] words = line.split(" ");
        Map<String, String> fields = new HashMap<>();
        for (int i = 1; i < words.length; i++) {
            String[] pair = words[i].split("=", 2);
            fields.put(pair[0], pair[1]);
        }
        return switch (words[0]) {
            case "create-topic" -> createTopic(fields);
            case "produce" -> produce(fields);
            case "consume" -> consume(fields);
            case "offset-for-time" -> offsetForTime(fields);
            case "transact" -> transact(fields);
            default -> throw new IllegalArgumentException("unknown command " + words[0]);
        };
    }

    private String createTopic(Map<String, String> fields) throws Exception {
        NewTopic topic = new NewTopic(fields.get("topic"), Integer.parseInt(fields.get("partitions")), (short) 1);
        admin.createTopics(List.of(topic)).all().get();
        return "{}";
    }

    private String produce(Map<String, String> fields) throws Exception {
        Records records = new Records(fields.get("seed"), fields.get("shape"), fields.get("headers"),
            Integer.parseInt(fields.get("partitions")), Long.parseLong(fields.get("base")));
        KafkaProducer<byte[], byte[]> producer = producer(fields.get("codec"), fields.get("idempotent"));
        int from = Integer.parseInt(fields.get("from"));
        int to = Integer.parseInt(fields.get("to"));
        List<Future<RecordMetadata>> acknowledgements = new ArrayList<>();
        for (int index = from; index < to; index++) {
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(fields.get("topic"),
                index % records.partitions, records.timestampMs(index), records.key(index), records.value(index));
            records.headers(index).forEach(record.headers()::add);
            acknowledgements.add(producer.send(record));
        }
        producer.flush();
        String wrongOffset = "null";
        for (int index = from; index < to; index++) {
            long offset = acknowledgements.get(index - from).get().offset();
            if (offset != index / records.partitions && wrongOffset.equals("null")) {
                wrongOffset = "\"record " + index + ": " + offset + " instead of " + index / records.partitions + '"';
            }
        }
        return "{\"acknowledged\":" + acknowledgements.size() + ",\"wrongOffset\":" + wrongOffset + "}";
    }

    private String consume(Map<String, String> fields) {
        TopicPartition partition = new TopicPartition(fields.get("topic"), Integer.parseInt(fields.get("partition")));
        int count = Integer.parseInt(fields.get("count"));
        Records.Digest digest = new Records.Digest();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, Long.parseLong(fields.get("from")));
            long lastRecordAt = System.nanoTime();
            while (digest.count < count && System.nanoTime() - lastRecordAt < IDLE_LIMIT.toNanos()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    if (digest.count == count) break;
                    lastRecordAt = System.nanoTime();
                    Header[] headers = record.headers().toArray();
                    digest.record(record.offset(), record.key(), record.value(), headers.length, record.timestamp());
                    for (Header header : headers) {
                        digest.bytes(Records.utf8(header.key()));
                        digest.bytes(header.value());
                    }
                }
            }
        }
        return digest.json();
    }

    private String offsetForTime(Map<String, String> fields) {
        TopicPartition partition = new TopicPartition(fields.get("topic"), Integer.parseInt(fields.get("partition")));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            OffsetAndTimestamp found = consumer
                .offsetsForTimes(Map.of(partition, Long.parseLong(fields.get("timestamp"))))
                .get(partition);
            return "{\"offset\":" + (found == null ? -1 : found.offset()) + "}";
        }
    }

    private String transact(Map<String, String> fields) throws Exception {
        KafkaProducer<byte[], byte[]> producer = transactional.computeIfAbsent(fields.get("id"), id -> {
            KafkaProducer<byte[], byte[]> created = new KafkaProducer<>(Map.of(
                "bootstrap.servers", bootstrap,
                "transactional.id", id,
                "transaction.timeout.ms", fields.get("timeout"),
                "max.block.ms", "20000"), new ByteArraySerializer(), new ByteArraySerializer());
            created.initTransactions();
            return created;
        });
        String outcome = fields.get("outcome");
        producer.beginTransaction();
        List<Future<RecordMetadata>> acknowledgements = new ArrayList<>();
        for (int index = Integer.parseInt(fields.get("from")); index < Integer.parseInt(fields.get("to")); index++) {
            byte[] value = Records.utf8(outcome + " " + index);
            acknowledgements.add(producer.send(new ProducerRecord<>(fields.get("topic"), 0, null, value)));
        }
        producer.flush();
        for (Future<RecordMetadata> acknowledgement : acknowledgements) {
            acknowledgement.get();
        }
        if (outcome.equals("commit")) {
            producer.commitTransaction();
        } else if (outcome.equals("abort")) {
            producer.abortTransaction();
        }
        return "{}";
    }

    private KafkaProducer<byte[], byte[]> producer(String codec, String idempotent) {
        return producers.computeIfAbsent(codec + idempotent, key -> new KafkaProducer<>(Map.of(
            "bootstrap.servers", bootstrap,
            "compression.type", codec,
            "enable.idempotence", idempotent,
            // Without sequences a retry may overtake the batch behind it.
            "max.in.flight.requests.per.connection", idempotent.equals("true") ? "5" : "1",
            "acks", "all",
            "linger.ms", "5",
            "delivery.timeout.ms", "30000",
            "request.timeout.ms", "10000"), new ByteArraySerializer(), new ByteArraySerializer()));
    }

    private KafkaConsumer<byte[], byte[]> consumer() {
        return new KafkaConsumer<>(Map.of(
            "bootstrap.servers", bootstrap,
            "enable.auto.commit", "false",
            "auto.offset.reset", "none"), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
