import { readFileSync } from 'node:fs'
import { startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'

test('docs/RETENTION.md has the defaults of the settings, and the names by which a broker changes them', async () => {
  const page = readFileSync(new URL('../../docs/RETENTION.md', import.meta.url), 'utf8')
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => [...line.matchAll(/`([^`]+)`/g)].map(([, text]) => text!))
  await using broker = await startTestBroker()
  await broker.createTopic('t')
  const bus = await broker.connect()
  const configs = await bus.admin.describeConfigs('t', { synonyms: true })
  for (const [name, value, brokerName] of rows) {
    expect(configs).toContainEqual(
      expect.objectContaining({
        name,
        value,
        synonyms: [{ name: brokerName, value, source: 'default_config' }],
      }),
    )
  }
  expect(rows.length).toBeGreaterThan(10)
})
