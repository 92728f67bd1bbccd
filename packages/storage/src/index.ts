export { LocalLogStore, type LocalLogStoreOptions } from './local/local-log-store.ts'
export * from './log-store.ts'
export { MemoryLogStore, type MemoryLogStoreOptions } from './memory/memory-log-store.ts'
