/** Who sends a request about a group. */
export interface GroupClient {
  /** '' where it does not say. */
  readonly clientId: string
  /** Its address as Kafka shows it: '/192.0.2.1'. */
  readonly clientHost: string
  /** Version of the request. */
  readonly apiVersion: number
}

/** A client whose request may have to wait for other members. */
export interface WaitingClient extends GroupClient {
  /**
   * Called when the answer waits for other members. Gives a signal that ends the wait when nobody is there for the
   * answer any more; undefined where the answer must not wait.
   */
  startWaiting(): AbortSignal | undefined
}
