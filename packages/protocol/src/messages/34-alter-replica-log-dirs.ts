import { api, array, int16, int32, type Message, type MessageInput, message, string } from '../schema.ts'

/** Moves replicas of this broker to another of its log folders (KIP-113). */
export const alterReplicaLogDirs = api(34, 'AlterReplicaLogDirs', {
  request: message(
    { versions: '1-2', flexible: '2+' },
    {
      dirs: array({
        path: string(),
        topics: array({
          name: string(),
          partitions: array(int32()),
        }),
      }),
    },
  ),
  response: message(
    { versions: '1-2', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      results: array({
        topicName: string(),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
        }),
      }),
    },
  ),
})

export type AlterReplicaLogDirsRequest = Message<typeof alterReplicaLogDirs.request>
export type AlterReplicaLogDirsResponse = Message<typeof alterReplicaLogDirs.response>
export type AlterReplicaLogDirsRequestInput = MessageInput<typeof alterReplicaLogDirs.request>
export type AlterReplicaLogDirsResponseInput = MessageInput<typeof alterReplicaLogDirs.response>
