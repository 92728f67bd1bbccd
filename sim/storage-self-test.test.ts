import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { engine, sabotages } from './storage-self-test.ts'

describe('what the self-test leaves out of the engine', () => {
  for (const { name, file, text } of sabotages) {
    it(`is there to be left out: ${name}`, async () => {
      const parts = (await readFile(join(engine, file), 'utf8')).split(text)
      expect(parts, `${file} has '${text}' once`).toHaveLength(2)
    })
  }
})
