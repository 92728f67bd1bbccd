import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a group that tells what it owns and processes: the lines of groups/group-log.ts. It leaves
 * politely when standard input ends. Arguments: the broker's address, topic, group, variant, session timeout in
 * ms, instance id or "-".
 */
public final class GroupMember implements ConsumerRebalanceListener {
    private static final Duration POLL = Duration.ofMillis(200);
    private static final Duration COMMIT_TIMEOUT = Duration.ofSeconds(10);

    private final String topic;
    private final KafkaConsumer<byte[], byte[]> consumer;
    /** Processed and not yet committed. */
    private final Map<TopicPartition, OffsetAndMetadata> uncommitted = new HashMap<>();
    private volatile boolean stopping;

    private GroupMember(String[] args) {
        topic = args[1];
        String variant = args[3];
        Map<String, Object> settings = new HashMap<>(Map.of(
            "bootstrap.servers", args[0],
            "group.id", args[2],
            "enable.auto.commit", "false",
            "auto.offset.reset", "earliest"));
        if (variant.equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.put("session.timeout.ms", args[4]);
            settings.put("heartbeat.interval.ms", "500");
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer."
                + (variant.equals("cooperative") ? "CooperativeStickyAssignor" : "RangeAssignor"));
        }
        if (!args[5].equals("-")) {
            settings.put("group.instance.id", args[5]);
        }
        consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    public static void main(String[] args) throws Exception {
        GroupMember member = new GroupMember(args);
        Thread untilInputEnds = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException closed) {
                // A broken pipe is an end as well.
            }
            member.stopping = true;
            member.consumer.wakeup();
        });
        untilInputEnds.setDaemon(true);
        untilInputEnds.start();
        member.run();
    }

    private void run() {
        try (consumer) {
            consumer.subscribe(List.of(topic), this);
            while (!stopping) {
                process(consumer.poll(POLL));
            }
        } catch (WakeupException stopped) {
            // Closing commits nothing by itself here: what was processed has been committed.
        }
        tell("closed", "");
    }

    private void process(ConsumerRecords<byte[], byte[]> records) {
        for (TopicPartition partition : records.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> fetched = records.records(partition);
            long first = fetched.get(0).offset();
            long last = first;
            for (ConsumerRecord<byte[], byte[]> record : fetched) {
                if (record.offset() > last + 1) {
                    tell("process", partition.partition() + " " + first + " " + last);
                    first = record.offset();
                }
                last = record.offset();
            }
            tell("process", partition.partition() + " " + first + " " + last);
            uncommitted.put(partition, new OffsetAndMetadata(last + 1));
        }
        if (!uncommitted.isEmpty()) {
            commit();
        }
    }

    private void commit() {
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.copyOf(uncommitted);
        try {
            consumer.commitSync(offsets, COMMIT_TIMEOUT);
            offsets.forEach((partition, offset) -> tell("commit", partition.partition() + " " + offset.offset()));
            uncommitted.clear();
        } catch (RebalanceInProgressException | TimeoutException again) {
            // The next commit, or the one before the partitions are given away, brings these too.
        } catch (CommitFailedException lost) {
            uncommitted.clear();
        } catch (WakeupException stopped) {
            commit();
            throw stopped;
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        tell("assign", numbers(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        if (!uncommitted.isEmpty()) {
            commit();
        }
        uncommitted.keySet().removeAll(partitions);
        tell("revoke", numbers(partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        uncommitted.keySet().removeAll(partitions);
        tell("lost", numbers(partitions));
    }

    private static String numbers(Collection<TopicPartition> partitions) {
        List<Integer> numbers = new ArrayList<>();
        partitions.forEach(partition -> numbers.add(partition.partition()));
        return numbers.stream().sorted().map(String::valueOf).collect(Collectors.joining(","));
    }

    private static void tell(String event, String rest) {
        System.out.println(event + " " + System.nanoTime() / 1000 + " " + rest);
    }
}
