/** Our own SDK as a member of a group; arguments as in group-member.ts. */
import { type AssignorName, connect } from '@streambus/client'
import { inputEnded, memberArguments, tell } from './group-member.ts'

const { bootstrap, topic, group, variant, sessionTimeoutMs, instanceId } = memberArguments()

const bus = await connect({ brokers: bootstrap, clientId: 'interop-streambus-member' })
const assignors: readonly AssignorName[] = [variant === 'cooperative' ? 'cooperative-sticky' : 'range']
const numbers = (partitions: readonly { partition: number }[]) =>
  partitions.map((one) => one.partition).join(',')
const consumer = bus.consumer(topic, {
  group,
  assignors,
  sessionTimeoutMs,
  rebalanceTimeoutMs: 20_000,
  heartbeatIntervalMs: 500,
  autoCommitIntervalMs: 200,
  maxWaitMs: 200,
  ...(instanceId === null ? {} : { instanceId }),
  onAssigned: (partitions) => tell('assign', numbers(partitions)),
  onRevoked: (partitions, lost) => tell(lost ? 'lost' : 'revoke', numbers(partitions)),
})
consumer.on('committed', ({ offsets }) => {
  for (const { partition, offset } of offsets) tell('commit', partition, offset)
})

const left = inputEnded().then(() => consumer.close())
for await (const { partition, messages } of consumer.batches()) {
  tell('process', partition, messages[0]!.offset, messages.at(-1)!.offset)
}
await left
await bus.close()
tell('closed')
