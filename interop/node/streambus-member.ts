/** Our own SDK as a member of a group; arguments as in group-member.ts. */
import { connect, type GroupConsumerOptions, type TopicPartition } from '@streambus/client'
import { inputEnded, memberArguments, tell } from './group-member.ts'

const { bootstrap, topic, group, variant, sessionTimeoutMs, instanceId } = memberArguments()

const bus = await connect({ brokers: bootstrap, clientId: 'interop-streambus-member' })
const numbers = (partitions: readonly TopicPartition[]) => partitions.map((one) => one.partition).join(',')
const common = {
  group,
  rebalanceTimeoutMs: 20_000,
  autoCommitIntervalMs: 200,
  maxWaitMs: 200,
  ...(instanceId === null ? {} : { instanceId }),
  onAssigned: (partitions: readonly TopicPartition[]) => tell('assign', numbers(partitions)),
  onRevoked: (partitions: readonly TopicPartition[], lost: boolean) =>
    tell(lost ? 'lost' : 'revoke', numbers(partitions)),
}
const options: GroupConsumerOptions =
  variant === 'consumer'
    ? { ...common, groupProtocol: 'consumer' }
    : {
        ...common,
        assignors: [variant === 'cooperative' ? 'cooperative-sticky' : 'range'],
        sessionTimeoutMs,
        heartbeatIntervalMs: 500,
      }
const consumer = bus.consumer(topic, options)
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
