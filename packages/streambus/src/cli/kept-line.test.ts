import { expect, test } from 'vitest'
import { keptLine } from './kept-line.ts'

const MAX_INT64 = '9223372036854775807'
const DELETE = { 'cleanup.policy': 'delete' }

test.each([
  [{ ...DELETE, 'retention.ms': '604800000', 'retention.bytes': '-1' }, 'for 7 days'],
  [{ ...DELETE, 'retention.ms': '86400000' }, 'for 1 day'],
  [{ ...DELETE, 'retention.ms': '5400000' }, 'for 90 minutes'],
  [{ ...DELETE, 'retention.ms': '1001' }, 'for 1,001 milliseconds'],
  [{ ...DELETE, 'retention.ms': '0' }, 'for 0 milliseconds'],
  [{ ...DELETE, 'retention.ms': '-1', 'retention.bytes': '1048576' }, 'up to 1.0 MiB per partition'],
  [
    { ...DELETE, 'retention.ms': '3600000', 'retention.bytes': '100' },
    'for 1 hour, up to 100 B per partition',
  ],
  [{ ...DELETE, 'retention.ms': '-1', 'retention.bytes': '-1' }, 'for ever'],
  [{ ...DELETE, 'retention.ms': MAX_INT64, 'retention.bytes': MAX_INT64 }, 'for ever'],
  [{ 'cleanup.policy': 'compact', 'retention.ms': '1000' }, 'the last record of each key'],
  [
    { 'cleanup.policy': 'compact,delete', 'retention.ms': '1000' },
    'the last record of each key, for 1 second',
  ],
])('%j is kept %s', (settings, kept) => {
  const configs = Object.entries(settings).map(([name, value]) => ({ name, value }))
  expect(keptLine(configs)).toBe(`Kept: ${kept} (cleanup.policy=${settings['cleanup.policy']})\n`)
})

test('nothing is said where the broker does not tell', () => {
  expect(keptLine([])).toBe('')
  expect(keptLine([{ name: 'cleanup.policy', value: null }])).toBe('')
})
