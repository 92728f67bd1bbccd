import type { Assignor, MemberSubscription } from './assignor.ts'
import { stickyShares } from './sticky-shares.ts'
import { decodeStickyUserData, encodeStickyUserData } from './sticky-user-data.ts'

/**
 * Leaves partitions with their owners as far as the shares stay even, and moves as few as it takes. Members give up
 * everything before they join, and tell in their user data what they had. The bounds and the bytes are those of the
 * Java client's StickyAssignor.
 */
export const stickyAssignor: Assignor = {
  name: 'sticky',
  incremental: false,
  userData: encodeStickyUserData,
  assign(partitionCounts, members) {
    return stickyShares(partitionCounts, members.map(withPastAssignment)).shares
  },
}

/** As with Java, what a subscription says of owned partitions does not count here. */
function withPastAssignment(member: MemberSubscription): MemberSubscription {
  const { partitions, generation } = decodeStickyUserData(member.userData)
  return { ...member, ownedPartitions: partitions, generation }
}
