/**
 * What the machine did while something was measured, read from /proc: CPU time by process, time taken by the
 * hypervisor, memory. Linux only; CPU times have the kernel's tick (10 ms) as their resolution.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

/** USER_HZ, which the kernel fixes at 100 for everything it shows in /proc. */
const TICKS_PER_SECOND = 100
const BYTES_PER_KB = 1024

interface ProcessTicks {
  readonly pid: number
  readonly parentPid: number
  readonly name: string
  /** Ticks of the process itself, in user and kernel mode. */
  readonly own: number
  /** Ticks of its children that have ended and been waited for. */
  readonly reaped: number
}

export interface MachineSnapshot {
  readonly atMs: number
  readonly busyTicks: number
  readonly stealTicks: number
  readonly processes: ReadonlyMap<number, ProcessTicks>
}

/** What others took from a measurement, in cores (0.05 is 5 % of one core). */
export interface Disturbance {
  readonly stealCores: number
  readonly otherCores: number
  /** The foreign process that took most, and how much of a core. Null when none took anything. */
  readonly worst: { readonly name: string; readonly cores: number } | null
}

export function snapshot(): MachineSnapshot {
  const fields = readFileSync('/proc/stat', 'latin1')
    .split('\n', 1)[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields
  const processes = new Map<number, ProcessTicks>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const ticks = processTicks(Number(entry))
    if (ticks !== undefined) processes.set(ticks.pid, ticks)
  }
  return {
    atMs: performance.now(),
    busyTicks: user + nice + system + irq + softirq,
    stealTicks: steal,
    processes,
  }
}

/** CPU taken between two snapshots by the hypervisor and by processes that are not ours nor the kernel's. */
export function disturbanceBetween(before: MachineSnapshot, after: MachineSnapshot): Disturbance {
  const seconds = (after.atMs - before.atMs) / 1000
  const ours = withDescendants(after.processes, new Set([process.pid]))
  // Writing back and syncing happen in kernel threads, on behalf of whoever is measured.
  const kernel = withDescendants(after.processes, new Set([2]))
  let known = 0
  let worst: Disturbance['worst'] = null
  for (const now of after.processes.values()) {
    const then = before.processes.get(now.pid)
    const own = now.own - (then?.own ?? 0)
    if (ours.has(now.pid) || kernel.has(now.pid)) {
      const reaped = now.pid === process.pid ? now.reaped - (then?.reaped ?? 0) : 0
      known += own + reaped
    } else if (own > 0 && own / TICKS_PER_SECOND / seconds > (worst?.cores ?? 0)) {
      worst = { name: now.name, cores: own / TICKS_PER_SECOND / seconds }
    }
  }
  const coresOf = (ticks: number) => Math.max(0, ticks / TICKS_PER_SECOND / seconds)
  return {
    stealCores: coresOf(after.stealTicks - before.stealTicks),
    otherCores: coresOf(after.busyTicks - before.busyTicks - known),
    worst,
  }
}

/** CPU seconds of one process between two snapshots. */
export function cpuSeconds(pid: number, before: MachineSnapshot, after: MachineSnapshot): number {
  const then = before.processes.get(pid)
  const now = after.processes.get(pid)
  if (now === undefined) throw new Error(`process ${pid} has gone`)
  return (now.own - (then?.own ?? 0)) / TICKS_PER_SECOND
}

/** Memory of a process that is in RAM, in bytes, files it has mapped included. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  if (line?.[1] === undefined) throw new Error(`process ${pid} has gone`)
  return Number(line[1]) * BYTES_PER_KB
}

/** Empties the page cache. False where this process may not. */
export function dropPageCache(): boolean {
  execFileSync('sync')
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3')
    return true
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM') return false
    throw error
  }
}

export function describeMachine(): string {
  const [cpu] = cpus()
  const gib = Math.round(totalmem() / 2 ** 30)
  return `${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}, ${gib} GiB, Linux ${release()}, Node ${process.versions.node}`
}

function processTicks(pid: number): ProcessTicks | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
  // The name stands in parentheses and may itself contain any of them.
  const end = text.lastIndexOf(')')
  const fields = text.slice(end + 2).split(' ')
  const field = (position: number) => Number(fields[position - 3])
  return {
    pid,
    parentPid: field(4),
    name: text.slice(text.indexOf('(') + 1, end),
    own: field(14) + field(15),
    reaped: field(16) + field(17),
  }
}

function withDescendants(processes: ReadonlyMap<number, ProcessTicks>, roots: Set<number>): Set<number> {
  const found = new Set(roots)
  let grew = true
  while (grew) {
    grew = false
    for (const { pid, parentPid } of processes.values()) {
      if (found.has(parentPid) && !found.has(pid)) {
        found.add(pid)
        grew = true
      }
    }
  }
  return found
}
