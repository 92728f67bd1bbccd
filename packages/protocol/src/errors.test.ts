import { describe, expect, test } from 'vitest'
import { ErrorCode, errorByCode, errors } from './errors.ts'

describe('error table', () => {
  test('has every code from -1 on once, in order, under a name of its own', () => {
    expect(errors.map(({ code }) => code)).toEqual(errors.map((_, i) => i - 1))
    expect(new Set(errors.map(({ name }) => name)).size).toBe(errors.length)
  })

  test('has a sentence for each', () => {
    for (const { message } of errors) expect(message).toMatch(/^[A-Za-z].{7,}\.$/)
  })

  test('finds codes by name and rows by code', () => {
    expect(ErrorCode.OFFSET_OUT_OF_RANGE).toBe(1)
    expect(errorByCode(ErrorCode.NOT_LEADER_OR_FOLLOWER)).toMatchObject({
      name: 'NOT_LEADER_OR_FOLLOWER',
      retriable: true,
    })
    expect(errorByCode(ErrorCode.MESSAGE_TOO_LARGE).retriable).toBe(false)
  })

  test('a code it does not know is an unknown server error that names the code', () => {
    expect(errorByCode(9999)).toMatchObject({ code: 9999, name: 'UNKNOWN_SERVER_ERROR', retriable: false })
    expect(errorByCode(9999).message).toContain('9999')
  })
})
