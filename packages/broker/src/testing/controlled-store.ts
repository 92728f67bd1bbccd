import type { AppendBatch, LogStore, RecordBytes } from '@streambus/storage'

interface Overrides {
  waitForAppend?: LogStore['waitForAppend']
  append?: LogStore['append']
  read?: LogStore['read']
  state?: LogStore['state']
  expiredUpTo?: LogStore['expiredUpTo']
  maintain?: LogStore['maintain']
  close?: LogStore['close']
}

/** A store that is `store`, except for what the overrides replace. */
export function withOverrides(store: LogStore, overrides: Overrides): LogStore {
  return new Proxy(store, {
    get(target, name) {
      const own = overrides[name as keyof Overrides]
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** A store whose appends wait until they are let go. */
export class StallingStore {
  readonly store: LogStore
  /** Appends that wait. */
  waiting = 0
  #letGo!: () => void
  #gate: Promise<void>

  constructor(store: LogStore) {
    this.#gate = new Promise((resolve) => {
      this.#letGo = resolve
    })
    this.store = withOverrides(store, {
      append: async (batches) => {
        // The caller's memory is its own again when this function returns.
        const copies = batches.map(
          (batch): AppendBatch => ({ ...batch, bytes: Uint8Array.from(batch.bytes) }),
        )
        this.waiting++
        await this.#gate
        this.waiting--
        return store.append(copies)
      },
    })
  }

  letGo(): void {
    this.#letGo()
  }
}

/** Replaces the records of each read by what `change` makes of them. */
export function withRecords(store: LogStore, change: (records: RecordBytes) => RecordBytes): LogStore {
  return withOverrides(store, {
    read: async (requests, limits) => {
      const results = await store.read(requests, limits)
      return results.map((result) =>
        result.error === null ? { ...result, records: change(result.records) } : result,
      )
    },
  })
}
