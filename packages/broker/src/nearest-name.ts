import { distance } from 'fastest-levenshtein'

/** The known name that takes the fewest single-letter changes to get to, to help with a slip of the keyboard. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let nearest: string | undefined
  let fewest = Number.POSITIVE_INFINITY
  // A name far longer than any setting's is no slip; it is cut, so that the comparison stays cheap.
  const wanted = name.slice(0, 100)
  for (const candidate of known) {
    const changes = distance(wanted, candidate)
    if (changes < fewest) {
      fewest = changes
      nearest = candidate
    }
  }
  return nearest
}
