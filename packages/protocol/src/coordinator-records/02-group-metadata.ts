import { array, bytes, int32, int64, type Message, type MessageInput, message, string } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/**
 * A generation of a classic group with its members and what the leader assigned to them. Value v1 has the
 * rebalance timeout (KIP-62), v2 the time of the last change of state (KIP-211), v3 the ids of static
 * members (KIP-345).
 */
export const groupMetadataRecord = recordFormat(2, 'GroupMetadata', {
  key: message(
    { versions: '0', flexible: 'none' },
    {
      group: string(),
    },
  ),
  value: message(
    { versions: '0-4', flexible: '4+' },
    {
      protocolType: string(),
      generation: int32(),
      protocol: string({ nullable: '0+' }),
      leader: string({ nullable: '0+' }),
      currentStateTimestamp: int64({ versions: '2+', default: -1n, ignorable: true }),
      members: array({
        memberId: string(),
        groupInstanceId: string({ versions: '3+', nullable: '3+', default: null, ignorable: true }),
        clientId: string(),
        clientHost: string(),
        rebalanceTimeout: int32({ versions: '1+', default: -1, ignorable: true }),
        sessionTimeout: int32(),
        subscription: bytes(),
        assignment: bytes(),
      }),
    },
  ),
})

export type GroupMetadataKey = Message<typeof groupMetadataRecord.key>
export type GroupMetadataValue = Message<typeof groupMetadataRecord.value>
export type GroupMetadataKeyInput = MessageInput<typeof groupMetadataRecord.key>
export type GroupMetadataValueInput = MessageInput<typeof groupMetadataRecord.value>
