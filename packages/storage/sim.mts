import { simulateCrashes } from './src/testing/crash-simulation.ts'
const [from, to] = process.argv.slice(2).map(Number)
const total: Record<string, number> = {}
const t = Date.now()
let fails = 0
for (let seed = from!; seed < to!; seed++) {
  let timer: any
  try {
    const out = await Promise.race([simulateCrashes(seed), new Promise<never>((_, r) => { timer = setTimeout(() => r(new Error('HANG')), 8000) })])
    for (const [k, v] of Object.entries(out.counts)) total[k] = (total[k] ?? 0) + v
  } catch (e: any) { fails++; console.log('seed', seed, e.stack.split('\n').slice(0, 6).join('\n')); if (fails > 8) break }
  clearTimeout(timer)
}
console.log(total, Date.now() - t, 'ms')
process.exit(0)
