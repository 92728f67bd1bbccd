/** Why bytes or values were refused. Codes are stable; messages are for people. */
export type ProtocolErrorCode =
  /** The bytes end inside a value. */
  | 'TRUNCATED'
  /** A length or count is negative, or larger than the bytes that could hold it. */
  | 'INVALID_LENGTH'
  /** A value the format does not allow. */
  | 'INVALID_VALUE'
  /** The message has no such version, or a field that is set does not exist in it. */
  | 'UNSUPPORTED_VERSION'
  /** Bytes are left after the last field. */
  | 'TRAILING_BYTES'
  /** A frame announces more bytes than the receiver accepts. */
  | 'FRAME_TOO_LARGE'
  /** A record batch of another format than 2. */
  | 'UNSUPPORTED_MAGIC'
  /** The CRC-32C of a record batch, or a checksum inside compressed data, does not match. */
  | 'CORRUPT_BATCH'
  /** Attributes name a codec that does not exist. */
  | 'UNKNOWN_CODEC'
  /** `loadCodec` has not been awaited for the codec these records need. */
  | 'CODEC_NOT_LOADED'
  /** Compressed bytes do not follow their format. */
  | 'INVALID_COMPRESSED_DATA'
  /** Compressed bytes hold more than the caller accepts. */
  | 'COMPRESSED_TOO_LARGE'

/** The only error that decoders throw on hostile bytes, and encoders on values that do not fit their field. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly code: ProtocolErrorCode
  /** Where in the bytes, counted from their start, if that is known. */
  readonly position: number | undefined
  readonly #reason: string

  constructor(code: ProtocolErrorCode, reason: string, options: { position?: number; cause?: unknown } = {}) {
    const where = options.position === undefined ? '' : ` at byte ${options.position}`
    super(reason + where, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.position = options.position
    this.#reason = reason
  }

  /** The same error, saying also what was being read or written. */
  during(what: string): ProtocolError {
    return new ProtocolError(this.code, `${what}: ${this.#reason}`, {
      ...(this.position === undefined ? {} : { position: this.position }),
      cause: this,
    })
  }
}
