/**
 * SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677): both sides prove that they know the password, and neither
 * sends it. Without channel binding, as Kafka has it.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

export type ScramHash = 'sha256' | 'sha512'

/** What a server may ask for: fewer iterations protect too little (RFC 7677), more are an attack on this side. */
const MIN_ITERATIONS = 4096
const MAX_ITERATIONS = 1_000_000
const NONCE_BYTES = 24
const CHANNEL_BINDING = 'n,,'

const derive = promisify(pbkdf2)

export interface ScramOptions {
  nonce?: string
  /** The name is that of a delegation token (KIP-48), which the server looks up elsewhere than users. */
  delegationToken?: boolean
}

export class ScramClient {
  readonly #hash: ScramHash
  readonly #password: string
  readonly #nonce: string
  readonly #firstBare: string
  #serverSignature: Buffer | undefined

  constructor(
    hash: ScramHash,
    username: string,
    password: string,
    { nonce = randomBytes(NONCE_BYTES).toString('base64'), delegationToken = false }: ScramOptions = {},
  ) {
    this.#hash = hash
    this.#password = password
    this.#nonce = nonce
    const name = prepared(username).replaceAll('=', '=3D').replaceAll(',', '=2C')
    this.#firstBare = `n=${name},r=${nonce}${delegationToken ? ',tokenauth=true' : ''}`
  }

  first(): Buffer {
    return Buffer.from(`${CHANNEL_BINDING}${this.#firstBare}`)
  }

  /** The proof, in answer to the server's first message. Throws where that is none. */
  async final(serverFirst: Uint8Array): Promise<Buffer> {
    const text = Buffer.from(serverFirst).toString()
    const fields = fieldsOf(text)
    const nonce = fields.get('r') ?? ''
    const salt = Buffer.from(fields.get('s') ?? '', 'base64')
    const iterations = Number(fields.get('i'))
    if (!nonce.startsWith(this.#nonce) || nonce === this.#nonce)
      throw new Error('the server changed the nonce')
    if (salt.length === 0) throw new Error('the server sent no salt')
    if (!Number.isInteger(iterations) || iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS) {
      throw new Error(
        `the server asks for ${fields.get('i')} iterations, not ${MIN_ITERATIONS} to ${MAX_ITERATIONS}`,
      )
    }
    const salted = await saltedPassword(this.#hash, this.#password, salt, iterations)
    const clientKey = this.#mac(salted, 'Client Key')
    const storedKey = createHash(this.#hash).update(clientKey).digest()
    const withoutProof = `c=${Buffer.from(CHANNEL_BINDING).toString('base64')},r=${nonce}`
    const authMessage = `${this.#firstBare},${text},${withoutProof}`
    const signature = this.#mac(storedKey, authMessage)
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ signature[index]!))
    this.#serverSignature = this.#mac(this.#mac(salted, 'Server Key'), authMessage)
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`)
  }

  /** Throws where the server's last message does not prove that it knows the password, too. */
  verify(serverFinal: Uint8Array): void {
    const fields = fieldsOf(Buffer.from(serverFinal).toString())
    const error = fields.get('e')
    if (error !== undefined) throw new Error(`the server says ${error}`)
    const signature = Buffer.from(fields.get('v') ?? '', 'base64')
    const expected = this.#serverSignature
    if (
      expected === undefined ||
      signature.length !== expected.length ||
      !timingSafeEqual(signature, expected)
    ) {
      throw new Error('the server does not know the password')
    }
  }

  #mac(key: Buffer, text: string): Buffer {
    return createHmac(this.#hash, key).update(text).digest()
  }
}

/** What stands for the password: servers keep it, or keys made of it, and never the password (RFC 5802, Hi). */
export function saltedPassword(
  hash: ScramHash,
  password: string,
  salt: Uint8Array,
  iterations: number,
): Promise<Buffer> {
  return derive(prepared(password), salt, iterations, hash === 'sha256' ? 32 : 64, hash)
}

/** SASLprep (RFC 4013) as far as it changes characters that people type: compatibility forms become plain ones. */
function prepared(text: string): string {
  return text.normalize('NFKC')
}

function fieldsOf(message: string): Map<string, string> {
  return new Map(message.split(',').map((field) => [field.slice(0, 1), field.slice(2)]))
}
