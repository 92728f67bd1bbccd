/** How a rebalance ended. */
export interface JoinedGroup {
  readonly leaderId: string
  /** Name of the assignor. */
  readonly protocolName: string
  readonly durationMs: number
}

/** Told of steps of a member of a classic group that change nothing for whoever reads the messages. */
export interface GroupObserver {
  joined(group: JoinedGroup): void
  /** The group has to be joined again: members, topics or partitions have changed, or the membership was lost. */
  rebalancing(): void
  /** The coordinator has taken a heartbeat. */
  heartbeat(): void
  /** A broker is asked for records, and has answered. */
  fetching(brokerId: number): void
  fetched(brokerId: number, durationMs: number): void
}
