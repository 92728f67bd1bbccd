import { NODE_ID } from '../node-identity.ts'

/** Why partitions cannot be placed on these brokers, as a sentence; undefined when they can. */
export function assignmentProblem(replicas: readonly (readonly number[])[]): string | undefined {
  if (replicas.every((brokers) => brokers.length === 1 && brokers[0] === NODE_ID)) return undefined
  return `Each partition must be assigned to broker ${NODE_ID} and no other: it is the only one.`
}
