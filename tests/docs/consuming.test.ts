import { readFileSync } from 'node:fs'
import { deadLetterHeaders } from '@streambus/client'
import { expect, test } from 'vitest'

test('docs/sdk/consuming.md has the headers of dead letters, each once', () => {
  const page = readFileSync(new URL('../../docs/sdk/consuming.md', import.meta.url), 'utf8')
  const documented = [...page.matchAll(/^\| `(streambus-dlq-[a-z]+)` \|/gm)].map(([, name]) => name)
  expect(documented.sort()).toEqual(Object.values(deadLetterHeaders).sort())
})
