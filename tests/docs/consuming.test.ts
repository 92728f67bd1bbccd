import { readFileSync } from 'node:fs'
import { deadLetterHeaders, retryHeaders } from '@streambus/client'
import { expect, test } from 'vitest'

test.each([
  ['dead letters', 'dlq', deadLetterHeaders],
  ['messages in delay topics', 'retry', retryHeaders],
])('docs/sdk/consuming.md has the headers of %s, each once', (_, prefix, headers) => {
  const page = readFileSync(new URL('../../docs/sdk/consuming.md', import.meta.url), 'utf8')
  const rows = page.matchAll(new RegExp(`^\\| \`(streambus-${prefix}-[a-z]+)\` \\|`, 'gm'))
  const documented = [...rows].map(([, name]) => name)
  expect(documented.sort()).toEqual(Object.values(headers).sort())
})
