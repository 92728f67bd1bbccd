declare module 'fs-native-extensions' {
  const locks: {
    tryLock(fd: number, options: { exclusive: boolean }): boolean
    unlock(fd: number): void
  }
  export default locks
}
