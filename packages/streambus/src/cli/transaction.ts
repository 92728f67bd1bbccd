import { askingOptions, withCluster } from './client-session.ts'
import { UsageError } from './failure.ts'
import { counted, table } from './numbers.ts'
import { print } from './output.ts'
import { type GivenOptions, integer } from './settings.ts'

export async function listTransactions(given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    const transactions = await bus.admin.listTransactions()
    print(given, transactions, () =>
      transactions.length === 0
        ? 'There are no transactions.\n'
        : table([
            ['Transactional id', 'Producer id', 'State', 'Coordinator'],
            ...transactions.map(({ transactionalId, producerId, state, coordinator }) => [
              transactionalId,
              producerId,
              state,
              `${coordinator.id} (${coordinator.host}:${coordinator.port})`,
            ]),
          ]),
    )
  })
}

export async function describeTransaction(id: string, given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    const transaction = await bus.admin.describeTransaction(id)
    const { state, producerId, producerEpoch, timeoutMs, startedAtMs, coordinator, partitions } = transaction
    print(given, transaction, () =>
      [
        `Transactional id ${id}: ${state}\n`,
        `Producer ${producerId}, epoch ${producerEpoch}, timeout ${timeoutMs} ms, `,
        `coordinator ${coordinator.id} (${coordinator.host}:${coordinator.port})\n`,
        startedAtMs === null ? '' : `Started ${new Date(startedAtMs).toISOString()}${ageOf(startedAtMs)}\n`,
        partitions.length === 0
          ? ''
          : `\n${table([
              ['Topic', 'Partition'],
              ...partitions.map(({ topic, partition }) => [topic, partition]),
            ])}`,
      ].join(''),
    )
  })
}

export async function abortTransaction(id: string | undefined, given: GivenOptions): Promise<void> {
  const option = (name: string) => given[name] as string | undefined
  const topic = option('topic')
  const [partition, startOffset] = [option('partition'), option('startOffset')]
  const places = [topic, partition, startOffset].filter((one) => one !== undefined).length
  if (id === undefined ? places < 3 : places > 0) {
    throw new UsageError('Name the transactional id, or all of --topic, --partition and --start-offset.')
  }
  const hanging =
    id === undefined
      ? {
          topic: topic as string,
          partition: integer(0, 2 ** 31 - 1).parse(partition as string, '--partition'),
          startOffset: integer(0, Number.MAX_SAFE_INTEGER).parse(startOffset as string, '--start-offset'),
        }
      : undefined
  await withCluster(given, askingOptions, async (bus) => {
    if (hanging !== undefined) {
      await bus.admin.abortHangingTransaction(hanging)
      print(
        given,
        { ...hanging, aborted: true },
        () =>
          `Aborted the transaction that began at offset ${hanging.startOffset} of ${hanging.topic}/${hanging.partition}.\n`,
      )
    } else if (id !== undefined) {
      await bus.admin.abortTransaction(id)
      print(given, { transactionalId: id, aborted: true }, () => `Aborted the transaction of '${id}'.\n`)
    }
  })
}

/** `, 12 seconds ago`; nothing where the clock of the broker is ahead. */
function ageOf(startedAtMs: number): string {
  const seconds = Math.floor((Date.now() - startedAtMs) / 1000)
  return seconds < 0 ? '' : `, ${counted(seconds, 'second')} ago`
}
