import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { channels, consumerChannels } from '../../packages/client/src/observability/channels.ts'
import { ClientMetrics } from '../../packages/client/src/observability/metrics.ts'

const page = readFileSync(new URL('../../docs/sdk/observability.md', import.meta.url), 'utf8')

/** The names in the first column of the table under this head. */
function namesUnder(head: string): string[] {
  const table = page.slice(page.indexOf(head)).split('\n\n')[0] as string
  return table
    .split('\n')
    .slice(2)
    .flatMap((row) =>
      [...(row.split('|')[1] as string).matchAll(/`([^`]+)`/g)].map(([, name]) => name as string),
    )
}

test('docs/sdk/observability.md has every diagnostics channel', () => {
  const names = [...Object.values(channels), ...Object.values(consumerChannels)].map((channel) =>
    'asyncEnd' in channel
      ? String(channel.asyncEnd.name).replace(/^tracing:(.*):asyncEnd$/, '$1')
      : String(channel.name),
  )
  expect(namesUnder('| channel |').sort()).toEqual(names.sort())
})

test('docs/sdk/observability.md has every metric', () => {
  const metrics = new ClientMetrics('docs')
  metrics.topic('t')
  const { topics, ...client } = metrics.snapshot()
  expect(namesUnder('| of the client |').sort()).toEqual([...Object.keys(client), 'topics'].sort())
  expect(namesUnder('| of a topic |').sort()).toEqual(Object.keys(topics.t as object).sort())
})
