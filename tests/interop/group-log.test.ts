import { expect, test } from 'vitest'
import { GroupLog, type MemberEvent, parseEvent } from '../../interop/groups/group-log.ts'

function logOf(...lines: readonly (readonly [member: string, line: string])[]): GroupLog {
  const log = new GroupLog(2, 10)
  for (const [member, line] of lines) log.add(member, parseEvent(line) as MemberEvent)
  return log
}

test('two members that own a partition at once are found, however late their lines arrive', () => {
  const log = logOf(['b', 'assign 150 0'], ['a', 'assign 100 0'], ['a', 'revoke 200 0'])
  expect(log.overlaps(0)).toEqual(['partition 0: a and b for 1 ms'])
})

test('two members whose times are read, not told, may seem to overlap by as much as reading takes', () => {
  const log = logOf(['a', 'assign 100000 0'], ['b', 'assign 150000 0'], ['a', 'revoke 155000 0'])
  expect(log.overlaps(5)).toEqual([])
  expect(log.overlaps(4)).toEqual(['partition 0: a and b for 5 ms'])
})

test('a partition that is given up before it is assigned has one owner at a time', () => {
  const log = logOf(['a', 'assign 100 0,1'], ['a', 'revoke 200 0'], ['b', 'assign 201 0'])
  expect(log.overlaps(0)).toEqual([])
  expect(log.isSettled(['a', 'b'])).toBe(true)
})

test('a process that is gone owns nothing', () => {
  const log = logOf(['a', 'assign 100 0,1'])
  log.ended('a', 200)
  log.add('b', { kind: 'assign', atUs: 300, partitions: [0, 1] })
  expect(log.overlaps(0)).toEqual([])
  expect(log.isSettled(['b'])).toBe(true)
})

test('records that nobody processed and records that were processed twice are counted', () => {
  const log = logOf(['a', 'process 1 0 0 4'], ['b', 'process 2 0 4 5'], ['b', 'process 3 1 0 0'])
  expect(log.missing([7, 1])).toBe(1)
  expect(log.repeated).toBe(1)
  expect(log.firstProcessed('b', 0)).toBe(4)
})

test('a line that is no event is passed over', () => {
  expect(parseEvent('Warning: something of the client')).toBeNull()
})
