/** Longest part of a member id that comes from the client. */
const MAX_NAME_CHARS = 255

/**
 * The id of a new member, as Kafka makes it: what its client or its instance is called, and something that no other
 * member ever had. A name may be as long as a string of the protocol can be: all of it, with more behind it, could
 * neither be sent nor written, and what says who is in the group could not be said of any of its members.
 */
export function newMemberId(name: string, unique: string): string {
  // Half of a character that is two code units would be another one when it has been sent.
  return `${name.slice(0, MAX_NAME_CHARS).replace(/[\uD800-\uDBFF]$/, '')}-${unique}`
}
