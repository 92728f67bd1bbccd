/** A member of a group in a process of its own, which a test can kill: `member-process.ts address group`. */
import { connect } from '@streambus/client'

const [address, group] = process.argv.slice(2) as [string, string]
const bus = await connect(address)
const consumer = bus.consumer('t', {
  group,
  groupProtocol: 'consumer',
  onAssigned: () => process.send?.(consumer.assignment.length),
})
for await (const _ of consumer) {
  // Until it is killed.
}
