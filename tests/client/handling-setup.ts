import type { StreamBus } from '@streambus/client'

/** A turn of the event loop. */
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** A promise and what fulfils it. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** Resolves when the condition holds; it is looked at in every turn of the event loop. */
export async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await turn()
}

/** `count` messages in each partition, with the keys in turn. */
export async function fill(
  bus: StreamBus,
  topic: string,
  partitions: number,
  count: number,
  keys: readonly (string | null)[] = ['k'],
): Promise<void> {
  const existing = await bus.admin.listTopics()
  if (!existing.some(({ name }) => name === topic)) await bus.admin.createTopic(topic, { partitions })
  const messages = Array.from({ length: partitions * count }, (_, index) => {
    const number = Math.floor(index / partitions)
    const key = keys[number % keys.length] as string | null
    return { key, value: `v${number}`, partition: index % partitions }
  })
  await bus.producer().sendBatch(topic, messages)
}

export async function committed(bus: StreamBus, group: string): Promise<Record<string, number>> {
  const offsets = await bus.admin.fetchOffsets(group)
  return Object.fromEntries(
    offsets.map(({ topic, partition, offset }) => [`${topic}/${partition}`, offset] as const).sort(),
  )
}
