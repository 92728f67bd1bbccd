/**
 * Cluster features (KIP-584): what brokers and clients do only where the whole cluster can. Clients use
 * transactions as of KIP-890 only where `transaction.version` is finalized at 2.
 */
export interface Feature {
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  /** The level that is finalized: that of every broker, as there is one. */
  readonly level: number
  /** Keys of the APIs that make the feature: without them it is neither supported nor finalized. */
  readonly apiKeys: readonly number[]
}

export const FEATURES: readonly Feature[] = [
  { name: 'group.version', minVersion: 0, maxVersion: 1, level: 1, apiKeys: [68, 69] },
  { name: 'transaction.version', minVersion: 0, maxVersion: 2, level: 2, apiKeys: [22, 24, 25, 26, 28] },
]

/** Grows when a finalized level changes, which only another version of the broker does. */
export const FINALIZED_FEATURES_EPOCH = 1n
