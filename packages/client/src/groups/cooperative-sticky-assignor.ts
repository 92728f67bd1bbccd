import type { Assignor, MemberSubscription } from './assignor.ts'
import { stickyShares } from './sticky-shares.ts'

/**
 * Leaves partitions with their owners as far as the shares stay even, and moves as few as it takes (KIP-429).
 * A partition that moves is assigned to nobody until its owner, in the rebalance that follows, no longer names
 * it: two members never hold it at once.
 */
export const cooperativeStickyAssignor: Assignor = {
  name: 'cooperative-sticky',
  incremental: true,
  // The generation stands in the subscription, too: leaders that do not know the field for it (before KIP-792) look
  // for it here, and would else believe that the partitions named are no longer owned.
  userData({ generation }) {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(generation)
    return bytes
  },
  assign(partitionCounts, members) {
    const { shares, ownerOf } = stickyShares(partitionCounts, members.map(withGeneration))
    return new Map(
      [...shares].map(([memberId, partitions]) => [
        memberId,
        partitions.filter((one) => (ownerOf(one) ?? memberId) === memberId),
      ]),
    )
  },
}

function withGeneration(member: MemberSubscription): MemberSubscription {
  const { generation, userData } = member
  if (generation >= 0 || userData?.length !== 4) return member
  const view = new DataView(userData.buffer, userData.byteOffset, userData.byteLength)
  return { ...member, generation: view.getInt32(0) }
}
