import { randomBytes } from 'node:crypto'

/** A new cluster or topic id in Kafka's text form: 16 random bytes as 22 characters of base64url. */
export function newKafkaId(): string {
  for (;;) {
    const id = randomBytes(16).toString('base64url')
    // Kafka's tools would read such an id as an option.
    if (!id.startsWith('-')) return id
  }
}
