/** Members of groups sent away, so that others get their partitions at once (KIP-345, KIP-800). */
import { ErrorCode, leaveGroup } from '@streambus/protocol'
import { brokerError, isStreamBusError, StreamBusError } from '../errors.ts'
import { describeAllGroups } from '../groups/group-admin.ts'
import { versionFor } from '../version-for.ts'
import { type AdminOptions, type AdminRequests, allDone, type Outcome } from './admin-requests.ts'

/** A member by the id the broker gave it, or a static member by its instance id. */
export type MemberReference = { readonly memberId: string } | { readonly instanceId: string }

export interface RemoveMembersOptions extends AdminOptions {
  /** Default: all. */
  members?: readonly MemberReference[]
  /** For the log of the broker. */
  reason?: string
}

/** The first version that takes several members, and those of others. */
const severalMembersVersion = 3

/** Of those that were not named, one that has left meanwhile is no failure. Throws UNKNOWN_GROUP, SOME_FAILED. */
export async function removeFrom(
  requests: AdminRequests,
  groupId: string,
  { members: named, reason = 'removed by an administrator', ...options }: RemoveMembersOptions,
): Promise<void> {
  const members = named ?? (await membersOf(requests, groupId, options))
  const outcomes = await removeEach(requests, groupId, members, reason, options)
  const hasLeft = (outcome: Outcome<undefined>) => outcome?.brokerError === 'UNKNOWN_MEMBER_ID'
  allDone(
    members,
    outcomes.map((outcome) => (named === undefined && hasLeft(outcome) ? undefined : outcome)),
  )
}

async function removeEach(
  requests: AdminRequests,
  groupId: string,
  members: readonly MemberReference[],
  reason: string,
  options: AdminOptions,
): Promise<Outcome<undefined>[]> {
  const { coordinators, lane } = requests
  return await requests.each<MemberReference, undefined>(members, inWords, options, async (open) => {
    try {
      const connection = await coordinators.connectionTo('group', groupId, lane)
      versionFor(connection, leaveGroup, severalMembersVersion, 'remove members of a group')
      const answer = await connection.request(leaveGroup, {
        groupId,
        members: open.map((member) => ({
          ...('memberId' in member
            ? { memberId: member.memberId }
            : { memberId: '', groupInstanceId: member.instanceId }),
          reason,
        })),
      })
      if (answer.errorCode !== 0) {
        throw brokerError(answer.errorCode, `Cannot remove members of group '${groupId}'`)
      }
      return new Map(
        answer.members.map(({ errorCode }, index) => [
          inWords(open[index] as MemberReference),
          errorCode === 0 ? undefined : refusal(groupId, open[index] as MemberReference, errorCode),
        ]),
      )
    } catch (error) {
      if (isStreamBusError(error) && error.retriable) coordinators.forget('group', groupId)
      throw error
    }
  })
}

/** Those of a group at this moment, static ones by their instance ids. */
async function membersOf(
  requests: AdminRequests,
  groupId: string,
  options: AdminOptions,
): Promise<MemberReference[]> {
  const { cluster, coordinators, lane } = requests
  const [group] = await requests.within(options, () =>
    describeAllGroups(cluster, coordinators, lane, [groupId], options),
  )
  if (group === undefined) throw unknownGroup(groupId)
  return group.members.map(({ memberId, instanceId }) =>
    instanceId === null ? { memberId } : { instanceId },
  )
}

export function unknownGroup(groupId: string): StreamBusError {
  return new StreamBusError('UNKNOWN_GROUP', `There is no group '${groupId}' on this cluster.`)
}

function refusal(groupId: string, member: MemberReference, code: number): StreamBusError {
  if (code !== ErrorCode.UNKNOWN_MEMBER_ID) {
    return brokerError(code, `Cannot remove the ${inWords(member)} from group '${groupId}'`)
  }
  const message = `Group '${groupId}' has no ${inWords(member)}.`
  return new StreamBusError('BROKER_ERROR', message, { brokerError: 'UNKNOWN_MEMBER_ID' })
}

function inWords(member: MemberReference): string {
  return 'memberId' in member ? `member '${member.memberId}'` : `static member '${member.instanceId}'`
}
