import { ErrorCode } from '@streambus/protocol'

const NOT_GIVEN = -1

/**
 * Whether the client's view of a partition's leader is the broker's: FENCED_LEADER_EPOCH when it is older,
 * UNKNOWN_LEADER_EPOCH when it is newer (KIP-320).
 */
export function leaderEpochError(requested: number, current: number): number {
  if (requested === NOT_GIVEN || requested === current) return ErrorCode.NONE
  return requested < current ? ErrorCode.FENCED_LEADER_EPOCH : ErrorCode.UNKNOWN_LEADER_EPOCH
}
