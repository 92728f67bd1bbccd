import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The records of records.ts: the same bytes from the same seed. */
final class Records {
    static final int LARGE_VALUE_BYTES = 900_000;
    private static final int TIMESTAMP_STEP_MS = 10;
    private static final int KEY_KINDS = 5;
    private static final int VALUE_KINDS = 5;
    private static final int HEADER_KINDS = 6;
    private static final String BEYOND_ASCII = "schl\u00fcssel-\u540d-\ud83c\udf89";

    final String seed;
    final String shape;
    final String headers;
    final int partitions;
    final long baseTimestampMs;

    Records(String seed, String shape, String headers, int partitions, long baseTimestampMs) {
        this.seed = seed;
        this.shape = shape;
        this.headers = headers;
        this.partitions = partitions;
        this.baseTimestampMs = baseTimestampMs;
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private byte[] hash(int index, String purpose, int block) {
        return sha256().digest(utf8(seed + "/" + index + "/" + purpose + "/" + block));
    }

    private byte[] text(int index, String purpose, int length) {
        StringBuilder result = new StringBuilder();
        for (int block = 0; result.length() < length; block++) {
            result.append(HexFormat.of().formatHex(hash(index, purpose, block)));
        }
        return utf8(result.substring(0, length));
    }

    private byte[] binary(int index, int length) {
        ByteBuffer result = ByteBuffer.allocate(length);
        for (int block = 0; result.hasRemaining(); block++) {
            byte[] hash = hash(index, "value", block);
            result.put(hash, 0, Math.min(hash.length, result.remaining()));
        }
        return result.array();
    }

    private static int valueKind(int index) {
        return index / KEY_KINDS % VALUE_KINDS;
    }

    private static byte[] everyKey(int index) {
        return switch (index % KEY_KINDS) {
            case 0 -> valueKind(index) == 0 ? utf8("deleted") : null;
            case 1 -> new byte[0];
            case 2 -> new byte[] {0, (byte) 255, (byte) 128, (byte) (index % 128)};
            case 3 -> utf8(BEYOND_ASCII);
            default -> utf8("key-" + index);
        };
    }

    private byte[] everyValue(int index) {
        return switch (valueKind(index)) {
            case 0 -> null;
            case 1 -> new byte[0];
            case 2 -> new byte[] {(byte) 255, 0, (byte) 128, (byte) (index % 128)};
            case 3 -> utf8(BEYOND_ASCII + "-" + index);
            default -> text(index, "value", 40);
        };
    }

    private List<Header> everyHeaders(int index) {
        return switch (index / (KEY_KINDS * VALUE_KINDS) % HEADER_KINDS) {
            case 0 -> List.of();
            case 1 -> List.of(header("empty", new byte[0]));
            case 2 -> List.of(header("null", headers.equals("every") ? null : utf8("x")));
            case 3 -> List.of(header("again", utf8("1")), header("again", utf8("2")), header("other", utf8("3")));
            case 4 -> List.of(header("binary", new byte[] {0, (byte) 255, (byte) 128, 10, (byte) (index % 128)}));
            default -> List.of(header(BEYOND_ASCII, utf8(BEYOND_ASCII)));
        };
    }

    private static Header header(String name, byte[] value) {
        return new RecordHeader(name, value);
    }

    byte[] key(int index) {
        if (shape.equals("every")) return everyKey(index);
        if (shape.equals("mixed")) return index % 7 == 0 ? null : utf8("key-" + index % 100);
        return utf8(shape + "-" + index);
    }

    byte[] value(int index) {
        if (shape.equals("every")) return everyValue(index);
        if (shape.equals("large")) return binary(index, LARGE_VALUE_BYTES);
        if (shape.equals("one-byte") || index % 10 == 0) return text(index, "value", 1);
        return text(index, "value", 20 + (index * 37) % 200);
    }

    List<Header> headers(int index) {
        if (shape.equals("every")) return everyHeaders(index);
        List<Header> result = new ArrayList<>();
        if (headers.equals("fixed")) {
            result.add(header("source", utf8("interop")));
            result.add(header("seed", utf8(seed)));
        } else if (!headers.equals("none") && index % 5 == 0) {
            result.add(header("index", utf8(String.valueOf(index))));
            result.add(header("check", text(index, "header", 24)));
            result.add(header("empty", new byte[0]));
        }
        return result;
    }

    long timestampMs(int index) {
        return baseTimestampMs + (long) index * TIMESTAMP_STEP_MS;
    }

    /** The canonical form and digests of records.ts. */
    static final class Digest {
        private final MessageDigest content = sha256();
        private final MessageDigest timestamps = sha256();
        private String offsetGap;
        private long firstOffset = -1;
        private long lastOffset = -1;
        int count;

        void record(long offset, byte[] key, byte[] value, int headerCount, long timestampMs) {
            if (count == 0) firstOffset = offset;
            else if (offset != lastOffset + 1 && offsetGap == null) offsetGap = offset + " after " + lastOffset;
            lastOffset = offset;
            count++;
            bytes(key);
            bytes(value);
            number(headerCount);
            timestamps.update(ByteBuffer.allocate(8).putLong(timestampMs).array());
        }

        void bytes(byte[] bytes) {
            number(bytes == null ? -1 : bytes.length);
            if (bytes != null) content.update(bytes);
        }

        private void number(int value) {
            content.update(ByteBuffer.allocate(4).putInt(value).array());
        }

        String json() {
            HexFormat hex = HexFormat.of();
            return String.format(
                "{\"count\":%d,\"firstOffset\":%d,\"lastOffset\":%d,\"offsetGap\":%s,\"digest\":\"%s\",\"timestampDigest\":\"%s\"}",
                count, firstOffset, lastOffset, offsetGap == null ? "null" : '"' + offsetGap + '"',
                hex.formatHex(content.digest()), hex.formatHex(timestamps.digest()));
        }
    }
}
