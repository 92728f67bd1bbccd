import {
  ErrorCode,
  type FindCoordinatorRequest,
  type FindCoordinatorResponseInput,
  findCoordinator,
} from '@streambus/protocol'
import { advertisedAddress } from '../advertised-address.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { NODE_ID } from '../node-identity.ts'
import { refusalOf } from '../storage-errors.ts'

/**
 * FindCoordinator (key 10), versions 0–6: this broker coordinates everything. The topic that keeps the
 * coordinator's state is created here, before the first request that needs it. From version 4 several keys.
 *
 * Left out: share groups (key type 2).
 */
type Coordinator = NonNullable<FindCoordinatorResponseInput['coordinators']>[number]

const GROUP = 0
const TRANSACTION = 1
const MANY_KEYS_SINCE = 4

export function findCoordinatorHandler(
  services: BrokerServices,
): Handler<FindCoordinatorRequest, FindCoordinatorResponseInput> {
  const { options, listening } = services
  return {
    api: findCoordinator,
    minVersion: 0,
    maxVersion: 6,
    async handle({ key, keyType, coordinatorKeys }, { version, requester }) {
      const unready = await prepare(services, keyType)
      const address = advertisedAddress(options, listening, requester)
      const find = (key: string): Coordinator => {
        const refusal = refuseKey(key, keyType) ?? unready
        if (refusal !== undefined) return { key, nodeId: -1, host: '', port: -1, ...refusal }
        return { key, nodeId: NODE_ID, ...address, errorCode: ErrorCode.NONE, errorMessage: null }
      }
      if (version >= MANY_KEYS_SINCE) return { coordinators: coordinatorKeys.map(find) }
      const { key: _, ...found } = find(key)
      return found
    },
  }
}

interface Refusal {
  readonly errorCode: number
  readonly errorMessage: string
}

function refuseKey(key: string, keyType: number): Refusal | undefined {
  if (keyType !== GROUP && keyType !== TRANSACTION) {
    return {
      errorCode: ErrorCode.INVALID_REQUEST,
      errorMessage: `There are coordinators for groups (key type 0) and for transactions (1), not for type ${keyType}.`,
    }
  }
  if (key !== '') return undefined
  return keyType === GROUP
    ? { errorCode: ErrorCode.INVALID_GROUP_ID, errorMessage: 'The group id must not be empty.' }
    : { errorCode: ErrorCode.INVALID_REQUEST, errorMessage: 'The transactional id must not be empty.' }
}

/** Makes sure that the coordinator can answer. Returns why it cannot. */
async function prepare(
  { groups, transactions }: BrokerServices,
  keyType: number,
): Promise<Refusal | undefined> {
  try {
    if (keyType === GROUP) await groups.ready()
    else if (keyType === TRANSACTION) await transactions.ready()
    return undefined
  } catch (error) {
    return { errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE, errorMessage: refusalOf(error).errorMessage }
  }
}
