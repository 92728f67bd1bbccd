import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a topic from its beginning with Kafka's Java consumer, default settings, partitions assigned and not
 * subscribed to, and prints the bytes of the values and the seconds from the first record to the last.
 * Arguments: bootstrap server, topic, number of partitions, number of records.
 */
public class AssignedConsumer {
    private static final long MAX_SECONDS = 120;

    public static void main(String[] args) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (int partition = 0; partition < Integer.parseInt(args[2]); partition++) {
            partitions.add(new TopicPartition(args[1], partition));
        }
        long wanted = Long.parseLong(args[3]);
        Map<String, Object> settings = Map.of("bootstrap.servers", args[0], "enable.auto.commit", false);
        ByteArrayDeserializer bytesAsTheyAre = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, bytesAsTheyAre, bytesAsTheyAre)) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long records = 0;
            long bytes = 0;
            long begin = System.nanoTime();
            long first = 0;
            while (records < wanted) {
                ConsumerRecords<byte[], byte[]> polled = consumer.poll(Duration.ofMillis(500));
                long now = System.nanoTime();
                if (now - begin > MAX_SECONDS * 1_000_000_000L) {
                    throw new IllegalStateException("only " + records + " of " + wanted + " records in time");
                }
                if (first == 0 && !polled.isEmpty()) {
                    first = now;
                }
                for (ConsumerRecord<byte[], byte[]> record : polled) {
                    bytes += record.value().length;
                }
                records += polled.count();
            }
            double seconds = (System.nanoTime() - first) / 1e9;
            System.out.println("{\"bytes\":" + bytes + ",\"seconds\":" + seconds + "}");
        }
    }
}
