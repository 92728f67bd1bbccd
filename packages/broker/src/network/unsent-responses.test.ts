import { expect, test } from 'vitest'
import { type ResponseHolder, UnsentResponses } from './unsent-responses.ts'

class Holder implements ResponseHolder {
  resumed = 0
  readonly closed: Promise<number>
  readonly #unsent: UnsentResponses
  #onClose!: (unsentBytes: number) => void

  constructor(unsent: UnsentResponses) {
    this.#unsent = unsent
    this.closed = new Promise((resolve) => {
      this.#onClose = resolve
    })
  }

  resumeForResponses(): void {
    this.resumed++
  }

  closeForUnreadResponse(unsentBytes: number): void {
    this.#unsent.remove(this)
    this.#onClose(unsentBytes)
  }
}

test('above the bound requests wait until a response has been taken', () => {
  const unsent = new UnsentResponses(1000)
  const [reader, other] = [new Holder(unsent), new Holder(unsent)]
  unsent.hold(reader, 600)
  expect(unsent.mayStart(other)).toBe(true)
  unsent.hold(reader, 1600)
  expect(unsent.heldBytes).toBe(1600)
  expect(unsent.mayStart(other)).toBe(false)
  expect(other.resumed).toBe(0)
  unsent.release(reader)
  expect(other.resumed).toBe(1)
  expect(unsent.heldBytes).toBe(0)
})

test('those that take nothing while others wait are closed, the one that reads is not', async () => {
  const unsent = new UnsentResponses(1000)
  const [stalled, reader, waiting] = [new Holder(unsent), new Holder(unsent), new Holder(unsent)]
  unsent.hold(stalled, 900)
  unsent.hold(reader, 400)
  expect(unsent.mayStart(waiting)).toBe(false)
  expect(await stalled.closed).toBe(900)
  expect(waiting.resumed).toBe(1)
  expect(unsent.heldBytes).toBe(400)
  unsent.remove(reader)
  expect(unsent.heldBytes).toBe(0)
})
