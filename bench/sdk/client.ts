/** What a client has to be able to do to be measured. Each is one file beside this one, and runs in a process of its own. */
export interface MeasuredClient {
  /** Sends one message with acks=all; resolves when it is acknowledged. */
  send(topic: string, value: Buffer): Promise<unknown>
  /** Sends some messages in one call of the client's, with acks=all. */
  sendBatch(topic: string, values: readonly Buffer[]): Promise<unknown>
  /** Reads a topic from its beginning, as the only member of a new group, and calls back for each message. */
  consume(
    topic: string,
    group: string,
    onMessage: (value: Buffer) => void,
  ): Promise<{ stop(): Promise<void> }>
  close(): Promise<void>
}

export type OpenClient = (bootstrap: string, modulesDir: string) => Promise<MeasuredClient>
