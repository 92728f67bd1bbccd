/** This broker is the only node of its cluster: broker and controller in one. */
export const NODE_ID = 1

/** Kafka's answer where the authorized operations were not asked for. */
export const OPERATIONS_NOT_ASKED_FOR = -2147483648

/** Bit n stands for Kafka's AclOperation n: 3 READ, 4 WRITE, 5 CREATE, 6 DELETE, 7 ALTER, 8 DESCRIBE, … */
function operations(...codes: number[]): number {
  return codes.reduce((bits, code) => bits | (1 << code), 0)
}

/** No authorizer is configured, so that everybody may do everything that can be done to a topic. */
export const ALL_TOPIC_OPERATIONS = operations(3, 4, 5, 6, 7, 8, 10, 11)
/** The same for groups. */
export const ALL_GROUP_OPERATIONS = operations(3, 6, 8)
/** The same for the cluster: 9 CLUSTER_ACTION, 10 and 11 configurations, 12 IDEMPOTENT_WRITE. */
export const ALL_CLUSTER_OPERATIONS = operations(5, 7, 8, 9, 10, 11, 12)
