import { type DeleteGroupsRequest, type DeleteGroupsResponseInput, deleteGroups } from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * DeleteGroups (key 42), versions 0–2: groups without members, with their offsets. Offsets that an open
 * transaction has committed go with them, however it ends.
 */
export function deleteGroupsHandler({
  groups,
}: BrokerServices): Handler<DeleteGroupsRequest, DeleteGroupsResponseInput> {
  return {
    api: deleteGroups,
    minVersion: 0,
    maxVersion: 2,
    async handle({ groupsNames }) {
      return {
        throttleTimeMs: 0,
        results: await Promise.all(
          [...new Set(groupsNames)].map(async (groupId) => ({
            groupId,
            errorCode: await groups.delete(groupId),
          })),
        ),
      }
    },
  }
}
