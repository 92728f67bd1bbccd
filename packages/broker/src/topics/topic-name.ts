export const MAX_NAME_LENGTH = 249
const LEGAL_NAME = /^[a-zA-Z0-9._-]+$/

/** A name that a client gave, for messages: a string of the protocol can be longer than a message may be. */
export function shownName(name: string): string {
  return name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}…` : name
}

/** Why a topic cannot have this name, as a sentence that says what is allowed; undefined when it can. */
export function topicNameProblem(name: string): string | undefined {
  const rule = `use 1 to ${MAX_NAME_LENGTH} of the characters a-z, A-Z, 0-9, '.', '_' and '-', and not just '.' or '..'`
  if (name === '') return `A topic name must not be empty: ${rule}.`
  if (name === '.' || name === '..') return `A topic cannot be named '${name}': ${rule}.`
  if (name.length > MAX_NAME_LENGTH) return `A topic name of ${name.length} characters is too long: ${rule}.`
  if (!LEGAL_NAME.test(name)) return `The topic name '${name}' has characters that are not allowed: ${rule}.`
  return undefined
}
