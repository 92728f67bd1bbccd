import {
  api,
  array,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Finds the broker that coordinates a group, a transactional id or a share-group partition. v1 tells these
 * apart, v4 takes several keys (KIP-699), v6 knows share groups (KIP-932).
 */
export const findCoordinator = api(10, 'FindCoordinator', {
  request: message(
    { versions: '0-6', flexible: '3+' },
    {
      key: string({ versions: '0-3' }),
      keyType: int8({ versions: '1+', default: 0 }),
      coordinatorKeys: array(string(), { versions: '4+' }),
    },
  ),
  response: message(
    { versions: '0-6', flexible: '3+' },
    {
      throttleTimeMs: int32({ versions: '1+', ignorable: true }),
      errorCode: int16({ versions: '0-3' }),
      errorMessage: string({ versions: '1-3', nullable: '1-3', ignorable: true }),
      nodeId: int32({ versions: '0-3' }),
      host: string({ versions: '0-3' }),
      port: int32({ versions: '0-3' }),
      coordinators: array(
        {
          key: string(),
          nodeId: int32(),
          host: string(),
          port: int32(),
          errorCode: int16(),
          errorMessage: string({ nullable: '4+', ignorable: true }),
        },
        { versions: '4+' },
      ),
    },
  ),
})

export type FindCoordinatorRequest = Message<typeof findCoordinator.request>
export type FindCoordinatorResponse = Message<typeof findCoordinator.response>
export type FindCoordinatorRequestInput = MessageInput<typeof findCoordinator.request>
export type FindCoordinatorResponseInput = MessageInput<typeof findCoordinator.response>
