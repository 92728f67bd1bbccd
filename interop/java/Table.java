import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.time.Duration;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A table in a compacted topic of one partition. "write": so many updates of so many keys, update u of key
 * u * 7919 % keys with the value u; every 97th of the last round is a tombstone. "read": prints the number of records
 * and then whether the table is that of the updates. Arguments: write or read, the broker's address, topic, updates,
 * keys.
 */
public final class Table {
    public static void main(String[] args) throws Exception {
        String topic = args[2];
        int updates = Integer.parseInt(args[3]);
        int keys = Integer.parseInt(args[4]);
        if (args[0].equals("write")) write(args[1], topic, updates, keys);
        else read(args[1], topic, updates, keys);
    }

    private static String keyOf(int update, int keys) {
        return "key-" + (long) update * 7919 % keys;
    }

    private static String valueOf(int update, int updates, int keys) {
        return update >= updates - keys && update % 97 == 0 ? null : "value-" + update;
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private static void write(String bootstrap, String topic, int updates, int keys) {
        Properties settings = new Properties();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class);
        settings.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class);
        settings.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
            for (int update = 0; update < updates; update++) {
                byte[] value = bytes(valueOf(update, updates, keys));
                producer.send(new ProducerRecord<>(topic, 0, bytes(keyOf(update, keys)), value), (metadata, error) -> {
                    if (error == null) return;
                    System.err.println(error);
                    System.exit(1);
                });
            }
            producer.flush();
        }
        System.out.println("written");
    }

    private static void read(String bootstrap, String topic, int updates, int keys) {
        Properties settings = new Properties();
        settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        settings.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        Map<String, String> table = new HashMap<>();
        int records = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            long last = -1;
            while (consumer.position(partition) < end) {
                for (ConsumerRecord<byte[], byte[]> one : consumer.poll(Duration.ofSeconds(1))) {
                    if (one.offset() <= last) throw new IllegalStateException(one.offset() + " follows " + last);
                    last = one.offset();
                    records++;
                    String key = new String(one.key(), StandardCharsets.UTF_8);
                    if (one.value() == null) table.remove(key);
                    else table.put(key, new String(one.value(), StandardCharsets.UTF_8));
                }
            }
        }
        Map<String, String> model = new HashMap<>();
        for (int update = 0; update < updates; update++) {
            String value = valueOf(update, updates, keys);
            if (value == null) model.remove(keyOf(update, keys));
            else model.put(keyOf(update, keys), value);
        }
        System.out.println(records + " records, " + (table.equals(model) ? "equal" : "different"));
    }
}
