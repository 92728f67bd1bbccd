/**
 * How many characters, classes, assertions, groups and bars an expression in the syntax of RE2 has when its counted
 * repetitions are written out: `[a-z]{3}-x` has 5. An engine of this kind works on the expression in that form. Its time for a
 * name is the length of the name times this size, and so is never exponential; but `(.?){1000}` is ten characters
 * that work like two thousand, and a hundred such parts take minutes and gigabytes before the first match.
 *
 * What is no expression at all has some size, too: the engine says what is wrong with it.
 */
export function expressionSize(expression: string): number {
  /** Sizes of the groups that are open, the outermost first. */
  const open: number[] = [0]
  /** Of what a count that comes next would repeat. */
  let last = 0
  const add = (size: number): void => {
    open[open.length - 1]! += size
    last = size
  }
  for (let at = 0; at < expression.length; ) {
    const count = countAt(expression, at)
    if (count !== undefined) {
      open[open.length - 1]! += last * (count.times - 1)
      last *= count.times
      at = count.end
    } else if (expression.startsWith('\\Q', at)) {
      const quoteEnd = endOf('\\E', expression, at + 2)
      // A count behind a quotation repeats its last character.
      for (let quoted = at + 2; quoted < quoteEnd; quoted++) add(1)
      at = quoteEnd + 2
    } else {
      at = partAt(expression, at, open, add)
    }
  }
  return open.reduce((sum, size) => sum + size, 0)
}

/** Adds what is no count and no quotation, and returns where it ends. */
function partAt(expression: string, at: number, open: number[], add: (size: number) => void): number {
  switch (expression[at]) {
    case '\\':
      add(1)
      return at + 2
    case '[':
      add(1)
      return classEnd(expression, at)
    case '(':
      // Also an empty group takes its place each time.
      open.push(1)
      GROUP_BEGIN.lastIndex = at
      GROUP_BEGIN.exec(expression)
      return GROUP_BEGIN.lastIndex
    case ')':
      if (open.length > 1) add(open.pop()!)
      return at + 1
    // They say something of the part before them, which has been counted.
    case '*':
    case '+':
    case '?':
      return at + 1
    default:
      add(1)
      return at + 1
  }
}

/** With its flags or its name. */
const GROUP_BEGIN = /\((?:\?P?<[^>]*>|\?[a-zA-Z-]*:?)?/y
const COUNT = /\{(\d+)(?:,(\d*))?\}/y

function countAt(expression: string, at: number): { times: number; end: number } | undefined {
  if (expression[at] !== '{') return undefined
  COUNT.lastIndex = at
  const found = COUNT.exec(expression)
  if (found === null) return undefined
  return { times: Math.max(1, Number(found[1]), Number(found[2] ?? 0)), end: COUNT.lastIndex }
}

/** Where a class ends that begins at `start`. A `]` that comes first is one of its characters. */
function classEnd(expression: string, start: number): number {
  let at = start + 1
  if (expression[at] === '^') at++
  if (expression[at] === ']') at++
  while (at < expression.length && expression[at] !== ']') {
    if (expression[at] === '\\') at += 2
    else if (expression.startsWith('[:', at) && expression.includes(':]', at)) {
      at = expression.indexOf(':]', at) + 2
    } else at++
  }
  return at + 1
}

function endOf(end: string, expression: string, from: number): number {
  const at = expression.indexOf(end, from)
  return at === -1 ? expression.length : at
}
