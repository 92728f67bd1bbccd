/** Most bytes of records in one answer, whatever the client allows: Kafka's default of fetch.max.bytes. */
export const FETCH_MAX_BYTES = 55 * 1024 * 1024

/** Longest a fetch waits for records, whatever the client allows. Clients ask for 0.5 to 30 seconds. */
export const FETCH_MAX_WAIT_MS = 300_000
