/**
 * Why a broker could not start.
 *
 * - `PORT_IN_USE`: another process (or broker) listens on the port.
 * - `ADDRESS_NOT_AVAILABLE`: the host is no address of this machine, or its name does not resolve.
 * - `PORT_NOT_PERMITTED`: the operating system does not let this user listen on the port.
 * - `INVALID_OPTION`: an option has a value it cannot have.
 */
export type BrokerErrorCode =
  | 'PORT_IN_USE'
  | 'ADDRESS_NOT_AVAILABLE'
  | 'PORT_NOT_PERMITTED'
  | 'INVALID_OPTION'

/** Thrown by `Broker.start`. The message is one sentence for people and names the way out. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: BrokerErrorCode

  constructor(code: BrokerErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}
