import { RE2JS } from 're2js'
import { expect, test } from 'vitest'
import { expressionSize } from './expression-size.ts'

test.each([
  ['', 0],
  ['orders', 6],
  ['orders-.*', 8],
  ['^(eu|us)-[a-z]+$', 10],
  ['[a-z]{3}-x', 5],
  ['x{0,9}y{2,}', 11],
  ['(ab){10}', 30],
  ['(){10}(?:|){10}', 30],
  ['((a{10}){10}b){10}', 1120],
  ['(?:a|b{5}){2}c', 17],
  ['(?i)(?P<name>a)(?<n>b)(?i-s:c)', 7],
  ['[]{3}]{4}', 4],
  ['[^]a(]{4}', 4],
  ['[[:alpha:](]{4}', 4],
  ['[\\](]{4}', 4],
  ['\\Q({9}\\E{3}', 6],
  ['\\Q[', 1],
  ['\\(a{3}\\)', 5],
  // A brace that counts nothing is itself.
  ['a{b}{,3}', 8],
  ['a)){3}', 3],
  ['((a{3}', 5],
])('%s has the size %d when it is written out', (expression, size) => {
  expect(expressionSize(expression)).toBe(size)
})

test.each([
  '[a-z]{3}-x',
  '((a{10}){9}b){10}',
  '(()()(?:)){100}',
  '(?:|||){100}',
  '[]{3}]{90}',
  '[[:alpha:](]{90}',
  '\\Q({9}\\E{90}',
  '(?:\\Q[\\Ea){90}',
  '(?i)(?P<name>a?){300}',
  '\\pL{90}\\p{Greek}{90}\\x{10FFFF}{90}',
  '(a|b|){100}',
])('what the engine makes of %s is no larger than three times its size and a little', (expression) => {
  expect(RE2JS.compile(expression).programSize()).toBeLessThanOrEqual(3 * expressionSize(expression) + 8)
})
