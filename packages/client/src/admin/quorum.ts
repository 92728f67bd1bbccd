/** The quorum of the controllers, which keep the metadata of the cluster in a log of their own (KRaft, KIP-595). */
import { describeQuorum, ZERO_UUID } from '@streambus/protocol'
import { brokerError, StreamBusError } from '../errors.ts'
import type { AdminOptions, AdminRequests } from './admin-requests.ts'

export interface QuorumReplica {
  readonly id: number
  /** Of the folder its log is in (KIP-853); null where the broker does not tell. */
  readonly directoryId: string | null
  readonly logEndOffset: number
  /** When it last asked the leader, and when it last had everything, in milliseconds since the Unix epoch; or null. */
  readonly lastFetchAtMs: number | null
  readonly lastCaughtUpAtMs: number | null
}

export interface QuorumDescription {
  readonly leaderId: number
  readonly leaderEpoch: number
  readonly highWatermark: number
  readonly voters: readonly QuorumReplica[]
  readonly observers: readonly QuorumReplica[]
}

const METADATA_LOG = '__cluster_metadata'

export function describeMetadataQuorum(
  requests: AdminRequests,
  options: AdminOptions,
): Promise<QuorumDescription> {
  return requests.onController(options, async (connection) => {
    const answer = await connection.request(describeQuorum, {
      topics: [{ topicName: METADATA_LOG, partitions: [{ partitionIndex: 0 }] }],
    })
    const found = answer.topics[0]?.partitions[0]
    const errorCode = answer.errorCode || (found?.errorCode ?? 0)
    if (errorCode !== 0) {
      const detail = answer.errorMessage ?? found?.errorMessage ?? null
      throw brokerError(errorCode, 'Cannot describe the quorum of the controllers', detail)
    }
    if (found === undefined) {
      throw new StreamBusError('PROTOCOL_ERROR', 'The broker said nothing of the quorum of the controllers.')
    }
    const replicaOf = (replica: (typeof found.observers)[number]): QuorumReplica => ({
      id: replica.replicaId,
      directoryId: replica.replicaDirectoryId === ZERO_UUID ? null : replica.replicaDirectoryId,
      logEndOffset: Number(replica.logEndOffset),
      lastFetchAtMs: replica.lastFetchTimestamp < 0n ? null : Number(replica.lastFetchTimestamp),
      lastCaughtUpAtMs: replica.lastCaughtUpTimestamp < 0n ? null : Number(replica.lastCaughtUpTimestamp),
    })
    return {
      leaderId: found.leaderId,
      leaderEpoch: found.leaderEpoch,
      highWatermark: Number(found.highWatermark),
      voters: found.currentVoters.map(replicaOf),
      observers: found.observers.map(replicaOf),
    }
  })
}
