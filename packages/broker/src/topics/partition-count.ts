/**
 * Most partitions one topic may have. Far above what one machine serves well; its purpose is that a slip of
 * the keyboard in one request cannot fill the broker's memory.
 */
export const MAX_PARTITIONS_PER_TOPIC = 100_000
