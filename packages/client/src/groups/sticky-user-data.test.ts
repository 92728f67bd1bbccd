import { expect, test } from 'vitest'
import { decodeStickyUserData, encodeStickyUserData } from './sticky-user-data.ts'

/** Written by StickyAssignor of the Java client 4.4.0. */
const fromJava = Buffer.from(
  '0000000200087061796d656e7473000000010000000100066f726465727300000002000000000000000200000007',
  'hex',
)
const assignment = {
  partitions: [
    { topic: 'payments', partition: 1 },
    { topic: 'orders', partition: 0 },
    { topic: 'orders', partition: 2 },
  ],
  generation: 7,
}

test('is written and read as by the Java client', () => {
  expect(encodeStickyUserData(assignment)).toEqual(fromJava)
  expect(decodeStickyUserData(fromJava)).toEqual(assignment)
})

test('is read without a generation, as clients before KIP-54 version 1 write it', () => {
  expect(decodeStickyUserData(fromJava.subarray(0, -4))).toEqual({ ...assignment, generation: -1 })
})

test('nothing, or what is cut or something else, is as good as having had nothing', () => {
  const nothing = { partitions: [], generation: -1 }
  expect(decodeStickyUserData(null)).toEqual(nothing)
  expect(decodeStickyUserData(new Uint8Array())).toEqual(nothing)
  for (let length = 1; length < fromJava.length - 4; length++) {
    expect(decodeStickyUserData(fromJava.subarray(0, length))).toEqual(nothing)
  }
  expect(decodeStickyUserData(Buffer.from('7fffffff7fff', 'hex'))).toEqual(nothing)
  expect(decodeStickyUserData(Buffer.from('00000001ffff00000000', 'hex'))).toEqual(nothing)
})
